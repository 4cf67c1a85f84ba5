package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// nginxConfig serves a folder on a port of the loopback, and logs as Debian's
// nginx does.
const nginxConfig = `daemon off;
user root;
worker_processes 1;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
	access_log %[2]s;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	keepalive_requests 100000;
	server {
		listen %[3]s;
		root %[1]s/www;
		location /admin/ { return 403; }
		location /old/ { return 301 /new$request_uri; }
		location /api/ { return 200 '{"path":"$request_uri","time":"$msec"}\n'; }
		location /down/ { return 502; }
	}
}
`

// nginx serves a site to a few thousand clients, each with an address of its
// own, as popular pages and busy visitors are: by Zipf's law.
func nginx(ctx context.Context, dir, log string, bytes int64, seed uint64) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	pages, err := site(filepath.Join(dir, "www"), seed)
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, log, address), 0o600); err != nil {
		return err
	}
	return serve(ctx, exec.Command("/usr/sbin/nginx", "-p", dir, "-c", config), address, log, bytes, func(i uint64) client {
		return newVisitor(seed+i, address, pages).visit
	})
}

// site makes some hundred files, and gives their paths and others'.
func site(www string, seed uint64) ([]string, error) {
	r := rand.New(rand.NewPCG(seed, 1))
	sections := []string{"blog", "docs", "shop", "images", "news", "download", "static/css", "static/js"}
	suffixes := []string{".html", ".html", ".html", ".png", ".css", ".js"}
	var pages []string
	for i := range 600 {
		page := fmt.Sprintf("/%s/%s-%d%s", sections[r.IntN(len(sections))], word(r), i, suffixes[r.IntN(len(suffixes))])
		file := filepath.Join(www, page)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, make([]byte, 20+r.IntN(4000)), 0o644); err != nil {
			return nil, err
		}
		pages = append(pages, page)
	}
	pages = append(pages, "/", "/wp-login.php", "/.env", "/favicon.ico", "/admin/login", "/old/index.html", "/down/status")
	r.Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
	return pages, nil
}

func word(r *rand.Rand) string {
	b := make([]byte, 3+r.IntN(9))
	for i := range b {
		b[i] = "etaoinshrdlucmfw"[r.IntN(16)]
	}
	return string(b)
}

// A visitor asks for pages in the name of many clients.
type visitor struct {
	rand         *rand.Rand
	page, client *rand.Zipf
	address      string
	pages        []string
	agents       []string
}

func newVisitor(seed uint64, address string, pages []string) *visitor {
	r := rand.New(rand.NewPCG(seed, 2))
	v := &visitor{rand: r, address: address, pages: pages}
	v.page = rand.NewZipf(r, 1.2, 3, uint64(len(pages)-1))
	v.client = rand.NewZipf(r, 1.1, 20, 20_000)
	for range 60 {
		v.agents = append(v.agents, fmt.Sprintf("Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.%d.%d Safari/537.36",
			[]string{"X11; Linux x86_64", "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "iPhone; CPU iPhone OS 17_1 like Mac OS X"}[r.IntN(4)],
			90+r.IntN(40), 4000+r.IntN(2000), r.IntN(200)))
	}
	v.agents = append(v.agents, "curl/8.5.0", "kube-probe/1.29", "Googlebot/2.1 (+http://www.google.com/bot.html)")
	return v
}

// visit is one client's requests over one connection.
func (v *visitor) visit(ctx context.Context) error {
	n := v.client.Uint64() + 2
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(n*7>>13), byte(n*7>>5), byte(n*7)|1)}}
	conn, err := dialer.DialContext(ctx, "tcp", v.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	agent := v.agents[n%uint64(len(v.agents))]
	count := 1 + v.rand.IntN(40)
	var requests []byte
	referer := "-"
	for i := range count {
		method, page := "GET", v.pages[v.page.Uint64()]
		switch v.rand.IntN(20) {
		case 0:
			page = "/api/v1/items/" + strconv.Itoa(v.rand.IntN(1_000_000)) + "?session=" + strconv.FormatUint(v.rand.Uint64(), 16)
		case 1:
			page = "/search?q=" + word(v.rand) + "+" + word(v.rand)
		case 2:
			method = "HEAD"
		}
		requests = fmt.Appendf(requests, "%s %s HTTP/1.1\r\nHost: box.example\r\nUser-Agent: %s\r\n", method, page, agent)
		if referer != "-" {
			requests = fmt.Appendf(requests, "Referer: %s\r\n", referer)
		}
		if v.rand.IntN(3) == 0 {
			referer = "http://box.example" + page
		}
		if i == count-1 {
			requests = append(requests, "Connection: close\r\n"...)
		}
		requests = append(requests, "\r\n"...)
	}
	sent := make(chan error, 1)
	go func() { _, err := conn.Write(requests); sent <- err }()
	_, err = io.Copy(io.Discard, bufio.NewReader(conn))
	return errors.Join(err, <-sent)
}

// freeAddress is one of the loopback's that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// awaitAddress waits until somebody answers.
func awaitAddress(ctx context.Context, address string) error {
	for range 500 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("nobody answers at %s", address)
}

package sshserver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// served is a server on the loopback, and one key that it takes. Sessions are
// the words as a program of this machine; without words, a shell.
type served struct {
	*testing.T
	server  *Server
	address string
	key     ssh.Signer
	host    ssh.Signer
	admin   string
	log     *syncBuffer
	stop    func()
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func serve(t *testing.T, configure ...func(*Server)) *served {
	t.Helper()
	s := &served{T: t, key: newKey(t), host: newKey(t), admin: filepath.Join(t.TempDir(), "admin.sock"), log: &syncBuffer{}}
	s.server = New(Config{
		HostKey:    s.host,
		Authorized: func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), s.key.PublicKey().Marshal()) },
		Command: func(words []string) *exec.Cmd {
			if len(words) == 0 {
				words = []string{"/bin/sh"}
			}
			return exec.Command(words[0], words[1:]...)
		},
		AdminSocket: s.admin,
		DialAdmin: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", s.admin)
		},
		Logger: slog.New(slog.NewTextHandler(s.log, nil)),
		Go:     func(_ string, f func()) { go f() },
	})
	for _, c := range configure {
		c(s.server)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(ctx, l) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *served) dial(keys ...ssh.Signer) (*ssh.Client, error) {
	client, err := ssh.Dial("tcp", s.address, &ssh.ClientConfig{
		User: "anybody", Auth: []ssh.AuthMethod{ssh.PublicKeys(keys...)},
		HostKeyCallback: ssh.FixedHostKey(s.host.PublicKey()), Timeout: 20 * time.Second,
	})
	if err == nil {
		s.Cleanup(func() { client.Close() })
	}
	return client, err
}

func (s *served) connect() *ssh.Client {
	s.Helper()
	client, err := s.dial(s.key)
	if err != nil {
		s.Fatal(err)
	}
	return client
}

func (s *served) session(client *ssh.Client) *ssh.Session {
	s.Helper()
	session, err := client.NewSession()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { session.Close() })
	return session
}

func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestCommand(t *testing.T) {
	s := serve(t)
	client := s.connect()
	session := s.session(client)
	var stdout, stderr bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader("from afar"), &stdout, &stderr
	err := session.Run(`entroos sh -c 'cat; echo why >&2; exit 7'`)
	var exit *ssh.ExitError
	if !errors.As(err, &exit) || exit.ExitStatus() != 7 {
		t.Errorf("status: %v", err)
	}
	if stdout.String() != "from afar" || stderr.String() != "why\n" {
		t.Errorf("output %q, error output %q", &stdout, &stderr)
	}

	if err := s.session(client).Run("sh -c 'kill -USR1 $$'"); !errors.As(err, &exit) || exit.Signal() != "USR1" {
		t.Errorf("a program ended by a signal: %v", err)
	}
	if err := s.session(client).Run("'open"); !errors.As(err, &exit) || exit.ExitStatus() != 2 {
		t.Errorf("an open quote: %v", err)
	}
	session = s.session(client)
	session.Stderr = &stderr
	if err := session.Run("/nonexistent"); !errors.As(err, &exit) || exit.ExitStatus() != 127 || !strings.Contains(stderr.String(), "no such file") {
		t.Errorf("a program that is not there: %v, %q", err, &stderr)
	}
	if err := s.session(client).Setenv("LD_PRELOAD", "x"); err == nil {
		t.Error("an environment variable was taken")
	}
	if err := s.session(client).RequestSubsystem("sftp"); err == nil {
		t.Error("a subsystem was taken")
	}
}

func TestSignal(t *testing.T) {
	s := serve(t)
	session := s.session(s.connect())
	stdout, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(`sh -c 'trap "exit 9" INT; echo trapped; while :; do sleep 0.02; done'`); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len("trapped\n"))); err != nil {
		t.Fatal(err)
	}
	if err := session.Signal(ssh.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 9 {
		t.Errorf("%v", err)
	}
}

func TestTerminal(t *testing.T) {
	s := serve(t)
	session := s.session(s.connect())
	stdin, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output := &syncBuffer{}
	session.Stdout = output
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seen: %q", output)
		}
	})
	if err := session.RequestPty("xterm-256color", 33, 101, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	if err := session.Shell(); err != nil {
		t.Fatal(err)
	}
	types := func(text string) {
		if _, err := io.WriteString(stdin, text); err != nil {
			t.Fatal(err)
		}
	}
	types("stty size; echo TERM is $TERM\n")
	eventually(t, "size and kind", func() bool {
		return strings.Contains(output.String(), "33 101") && strings.Contains(output.String(), "TERM is xterm-256color")
	})
	if err := session.WindowChange(50, 120); err != nil {
		t.Fatal(err)
	}
	// The change is a request of its own: it may come behind the next keys.
	eventually(t, "the new size", func() bool { types("stty size\n"); return strings.Contains(output.String(), "50 120") })
	types("sh -c 'echo sleeping; exec sleep 1000'\n")
	eventually(t, "the program", func() bool { return strings.Contains(output.String(), "sleeping\r\n") })
	types("\x03") // Ctrl-C ends the program in the terminal
	types("exit 4\n")
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 4 {
		t.Errorf("%v; saw %q", err, output)
	}
}

// TestNothingIsLeft: a session's program ends with its client, with SSH itself,
// and when it ignores the hangup.
func TestNothingIsLeft(t *testing.T) {
	for name, leave := range map[string]func(*served, *ssh.Client, *ssh.Session){
		"the client goes":      func(_ *served, c *ssh.Client, _ *ssh.Session) { c.Close() },
		"the session is ended": func(_ *served, _ *ssh.Client, s *ssh.Session) { s.Close() },
		"ssh is switched off":  func(s *served, _ *ssh.Client, _ *ssh.Session) { s.stop() },
	} {
		for _, terminal := range []bool{false, true} {
			s := serve(t)
			client := s.connect()
			session := s.session(client)
			if terminal {
				if err := session.RequestPty("vt220", 24, 80, nil); err != nil {
					t.Fatal(err)
				}
			}
			pidFile := filepath.Join(t.TempDir(), "pid")
			if err := session.Start(`sh -c 'trap "" HUP; echo $$ >` + pidFile + `.part; mv ` + pidFile + `.part ` + pidFile + `; while :; do sleep 0.05; done'`); err != nil {
				t.Fatal(err)
			}
			var pid int
			eventually(t, "it runs", func() bool {
				text, err := os.ReadFile(pidFile)
				for _, c := range strings.TrimSpace(string(text)) {
					pid = pid*10 + int(c-'0')
				}
				return err == nil
			})
			leave(s, client, session)
			eventually(t, name+": the program ends", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
		}
	}
}

func TestForwardsTheAdminSocketAlone(t *testing.T) {
	s := serve(t)
	client := s.connect()
	if _, err := client.Dial("unix", s.admin); err == nil {
		t.Error("connected to a socket that is not there")
	}
	l, err := net.Listen("unix", s.admin)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // an echo that ends with its input
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	conn, err := client.Dial("unix", s.admin)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("admin"), 100_000)
	go func() {
		_, _ = conn.Write(want)
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, want) {
		t.Errorf("echoed %d bytes of %d: %v", len(got), len(want), err)
	}

	other := filepath.Join(t.TempDir(), "other.sock")
	ol, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	defer ol.Close()
	var refused *ssh.OpenChannelError
	for _, path := range []string{other, s.admin + "/../admin.sock", "", "/etc/passwd"} {
		if _, err := client.Dial("unix", path); !errors.As(err, &refused) || refused.Reason != ssh.Prohibited {
			t.Errorf("%q: %v", path, err)
		}
	}
	if _, err := client.Dial("tcp", "127.0.0.1:22"); !errors.As(err, &refused) || refused.Reason != ssh.Prohibited {
		t.Errorf("TCP: %v", err)
	}
	if l, err := client.Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Errorf("a remote forward at %v", l.Addr())
	}
	if l, err := client.ListenUnix(filepath.Join(t.TempDir(), "s")); err == nil {
		t.Errorf("a remote forward at %v", l.Addr())
	}
}

func TestWrongKeyIsRefusedSlowedAndLogged(t *testing.T) {
	s := serve(t)
	wrong := newKey(t)
	took := func(keys ...ssh.Signer) time.Duration {
		start := time.Now()
		if _, err := s.dial(keys...); err == nil {
			t.Fatal("let in")
		}
		return time.Since(start)
	}
	took(wrong, newKey(t), newKey(t)) // the free ones
	if d := took(wrong); d < firstDelay {
		t.Errorf("the fourth failure took %v", d)
	}
	if d := took(wrong); d < 2*firstDelay {
		t.Errorf("the fifth failure took %v", d)
	}
	if log := s.log.String(); !strings.Contains(log, ssh.FingerprintSHA256(wrong.PublicKey())) || !strings.Contains(log, "127.0.0.1") {
		t.Errorf("the log does not tell: %s", log)
	}
	s.session(s.connect()) // the right key is let in, and forgives
	if d := s.server.throttle.failed(sourceOf(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})); d != 0 {
		t.Errorf("after a success the next failure costs %v", d)
	}
	client, err := ssh.Dial("tcp", s.address, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.Password("root")}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), //nolint:gosec // a test
	})
	if err == nil {
		client.Close()
		t.Error("a password was taken")
	}
}

func TestUnknownConnectionsAreBounded(t *testing.T) {
	s := serve(t)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	greeted := func() bool {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadFull(c, make([]byte, len(serverVersion)))
		return err == nil
	}
	for i := range maxUnknownOne {
		if !greeted() {
			t.Fatalf("connection %d was refused", i+1)
		}
	}
	if greeted() {
		t.Error("one too many was served")
	}
	open[0].Close()
	eventually(t, "room for another", greeted)
}

// TestTimeToLogIn: who says nothing is hung up on soon, who has exchanged keys
// has the time that a human takes, and rekeying ends nothing.
func TestTimeToLogIn(t *testing.T) {
	const soon = 500 * time.Millisecond
	s := serve(t, func(s *Server) { s.keyExchangeTime = soon })
	silent, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := silent.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, silent); err != nil {
		t.Errorf("a silent connection is kept: %v", err)
	}
	client, err := ssh.Dial("tcp", s.address, &ssh.ClientConfig{
		Auth: []ssh.AuthMethod{ssh.PublicKeys(s.key)},
		HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error {
			time.Sleep(2 * soon) // somebody reads the fingerprint
			return nil
		},
	})
	if err != nil {
		t.Fatalf("after a while: %v", err)
	}
	client.Close()

	hurried := serve(t, func(s *Server) { s.loginTime = soon })
	if _, err := ssh.Dial("tcp", hurried.address, &ssh.ClientConfig{
		Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			time.Sleep(2 * soon)
			return []ssh.Signer{hurried.key}, nil
		})},
		HostKeyCallback: ssh.FixedHostKey(hurried.host.PublicKey()),
	}); err == nil {
		t.Error("the time to log in has no end")
	}
	client, err = ssh.Dial("tcp", hurried.address, &ssh.ClientConfig{
		Config:          ssh.Config{RekeyThreshold: 256 << 10},
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(hurried.key)},
		HostKeyCallback: ssh.FixedHostKey(hurried.host.PublicKey()),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if out, err := hurried.session(client).Output("sh -c 'head -c 1000000 /dev/zero; sleep 1; echo done'"); err != nil || !bytes.HasSuffix(out, []byte("done\n")) {
		t.Errorf("after keys were exchanged again: %v", err)
	}
}

// TestDelaysOfOneConnection: what refusals cost on one connection together
// leaves time to log in.
func TestDelaysOfOneConnection(t *testing.T) {
	s := serve(t)
	from := sourceOf(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	for range 100 {
		s.server.throttle.failed(from)
	}
	patience := time.Second
	for i, want := range []time.Duration{patience, 0, 0} {
		if d := s.server.refused(from, &patience); d != want {
			t.Errorf("refusal %d costs %v, want %v", i+1, d, want)
		}
	}
	if 2*maxConnectionDelay > loginTime {
		t.Errorf("refusals cost up to %v of %v", maxConnectionDelay, loginTime)
	}
}

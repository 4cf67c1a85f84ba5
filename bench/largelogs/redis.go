package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
)

// redis serves clients that come, set and get keys, and go; it logs all that it
// has to say.
func redis(ctx context.Context, dir, log string, bytes int64, seed uint64) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	server := exec.Command("redis-server", "--bind", host, "--port", port, "--dir", dir,
		"--logfile", log, "--loglevel", "debug", "--save", "10 1000", "--maxmemory", "32mb", "--maxmemory-policy", "allkeys-lru",
		"--hz", "100", "--daemonize", "no")
	return serve(ctx, server, address, log, bytes, func(i uint64) client {
		r := rand.New(rand.NewPCG(seed, i))
		return func(context.Context) error { return redisClient(r, address) }
	})
}

// redisClient is one connection, with a few commands.
func redisClient(r *rand.Rand, address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	var commands strings.Builder
	count := 0
	send := func(format string, args ...any) {
		fmt.Fprintf(&commands, format+"\r\n", args...)
		count++
	}
	if r.IntN(3) == 0 {
		send("CLIENT SETNAME worker-%d", r.IntN(50))
	}
	for range 1 + r.IntN(4) {
		key := fmt.Sprintf("%s:%d", []string{"session", "cart", "user", "rate"}[r.IntN(4)], r.IntN(100_000))
		switch r.IntN(6) {
		case 0:
			send("SETEX %s %d %x", key, 1+r.IntN(60), r.Uint64())
		case 1:
			send("SELECT %d", r.IntN(4))
		case 2:
			send("LPUSH %s %d", key+":list", r.IntN(1000))
		case 3:
			send("EVAL broken 0")
		default:
			send("GET %s", key)
		}
	}
	if _, err := conn.Write([]byte(commands.String())); err != nil {
		return err
	}
	answers := bufio.NewReader(conn)
	for range count {
		line, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, "$") && !strings.HasPrefix(line, "$-1") {
			if _, err := answers.ReadString('\n'); err != nil {
				return err
			}
		}
	}
	return nil
}

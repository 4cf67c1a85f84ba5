package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// relay passes connections on to an address until it is told to cut them.
type relay struct {
	net.Listener
	mu   sync.Mutex
	open []net.Conn
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l}
	t.Cleanup(func() { l.Close(); r.cut() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			r.mu.Lock()
			r.open = append(r.open, near, far)
			r.mu.Unlock()
			pass := func(a, b net.Conn) {
				_, _ = io.Copy(a, b) // until either is cut
				a.Close()
			}
			go pass(near, far)
			go pass(far, near)
		}
	}()
	return r
}

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.open {
		c.Close()
	}
	r.open = nil
}

// TestPromptsTakeTheirTime: the box may hang up while the operator is asked;
// what is answered then still counts.
func TestPromptsTakeTheirTime(t *testing.T) {
	o := newOperator(t, "secret")
	s := serveRemote(t, o.authorized())
	s.listens(t, true)
	r := newRelay(t, s.address)
	c := o.onTerminal("--box", r.Addr().String(), "ps")
	c.sees("Trust it? [yes/no]")
	r.cut()
	c.types("yes\r")
	c.sees("Passphrase of ")
	r.cut()
	c.types("secret\r")
	c.sees("web")
	if err := c.process.Wait(); err != nil {
		t.Error(err)
	}
}

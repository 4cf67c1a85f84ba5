package mdns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// TestOnTheLoopback asks a responder on real sockets, by unicast.
func TestOnTheLoopback(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip("there is no loopback here")
	}
	changes := make(chan struct{}, 1)
	r := &Responder{
		Hostname: "cellar", Changes: changes, Logger: slog.New(slog.DiscardHandler), Go: func(_ string, f func()) { go f() },
		Interfaces: func() ([]Interface, error) {
			return []Interface{{Index: lo.Index, Name: "lo", Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}}}, nil
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx) }()
	defer func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
	}()
	conn, err := net.Dial("udp", "127.0.0.1:5353")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 1500)
	for deadline := time.Now().Add(10 * time.Second); ; {
		if time.Now().After(deadline) {
			t.Fatal("no answer")
		}
		_, _ = conn.Write(query(t, "cellar.local.", dnsmessage.TypeA, classIN, 7)) // refused until it listens
		if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			continue
		}
		m, ok := parse(buf[:n], "cellar.local.")
		if !ok || m.id != 7 || len(m.answers) != 1 || m.answers[0] != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("%+v", m)
		}
		return
	}
}

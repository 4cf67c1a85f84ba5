package mdns

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// twoPorts is the transport of a machine with two cables in one network;
// the first port's interface is 1.
type twoPorts [2]*wirePort

func (t twoPorts) join(int) error { return nil }
func (t twoPorts) leave(int)      {}
func (t twoPorts) close()         {}

func (t twoPorts) multicast(to Interface, message []byte) error {
	return t[to.Index-1].multicast(to, message)
}

func (t twoPorts) unicast(to netip.AddrPort, index int, message []byte) error {
	return t[index-1].unicast(to, index, message)
}

func (t twoPorts) read(ctx context.Context, start func(string, func()), packets chan<- packet, _ chan<- error) {
	for i, p := range t {
		start("wire", func() {
			for {
				select {
				case in := <-p.in:
					in.index = i + 1
					select {
					case packets <- in:
					case <-ctx.Done():
						return
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

// TestTwoCablesInOneNetwork: a box that hears itself gets its name, and so it
// does when another passes on what it said.
func TestTwoCablesInOneNetwork(t *testing.T) {
	w := &wire{}
	first, second := netip.MustParsePrefix("fe80::7/64"), netip.MustParsePrefix("fe80::9/64")
	r := &Responder{
		Hostname: "cellar", Logger: slog.New(slog.DiscardHandler), Go: func(_ string, f func()) { go f() },
		Interfaces: func() ([]Interface, error) {
			return []Interface{
				{Index: 1, Name: "eth0", Prefixes: []netip.Prefix{first}},
				{Index: 2, Name: "eth1", Prefixes: []netip.Prefix{second}},
			}, nil
		},
	}
	ports := twoPorts{w.port("[fe80::7]:5353"), w.port("[fe80::9]:5353")}
	reflector := w.port("[fe80::99]:5353")
	asker := w.port("[fe80::aa]:4000")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.serve(ctx, ports) }()
	reflected := make(chan struct{})
	go func() {
		defer close(reflected)
		for {
			select {
			case in := <-reflector.in:
				if in.from.Port() == port {
					w.send(reflector, in.data, netip.AddrPort{})
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		cancel()
		<-reflected
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
	}()
	if m := asker.asks(t, "cellar.local.", dnsmessage.TypeAAAA); len(m.Answers) != 1 {
		t.Errorf("%s", m.GoString())
	}
}

package mdns

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a network in memory: what one sends to the group, all others get.
type wire struct {
	mu    sync.Mutex
	ports []*wirePort
}

// wirePort is one machine's end of it; as a transport, a responder's.
type wirePort struct {
	wire    *wire
	address netip.AddrPort
	in      chan packet
}

func (w *wire) port(address string) *wirePort {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &wirePort{wire: w, address: netip.MustParseAddrPort(address), in: make(chan packet, 1000)}
	w.ports = append(w.ports, p)
	return p
}

func (w *wire) send(from *wirePort, message []byte, to netip.AddrPort) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.ports {
		group := !to.IsValid()
		if p != from && group && p.address.Port() == port || !group && p.address == to {
			p.in <- packet{data: message, from: from.address, index: 1, multicast: group}
		}
	}
}

func (p *wirePort) join(int) error { return nil }
func (p *wirePort) leave(int)      {}
func (p *wirePort) close()         {}

func (p *wirePort) multicast(_ Interface, message []byte) error {
	p.wire.send(p, message, netip.AddrPort{})
	return nil
}

func (p *wirePort) unicast(to netip.AddrPort, _ int, message []byte) error {
	p.wire.send(p, message, to)
	return nil
}

func (p *wirePort) read(ctx context.Context, start func(string, func()), packets chan<- packet, _ chan<- error) {
	start("wire", func() {
		for {
			select {
			case in := <-p.in:
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

// machine is a responder on the wire whose addresses a test can change.
type machine struct {
	changes chan struct{}
	stop    func()

	mu       sync.Mutex
	prefixes []netip.Prefix
}

func (m *machine) set(prefixes ...string) {
	m.mu.Lock()
	m.prefixes = nil
	for _, p := range prefixes {
		m.prefixes = append(m.prefixes, netip.MustParsePrefix(p))
	}
	m.mu.Unlock()
	m.changes <- struct{}{}
}

func (w *wire) machine(t *testing.T, hostname, prefix string) *machine {
	t.Helper()
	m := &machine{changes: make(chan struct{}, 10), prefixes: []netip.Prefix{netip.MustParsePrefix(prefix)}}
	r := &Responder{
		Hostname: hostname, Changes: m.changes, Logger: slog.New(slog.DiscardHandler), Go: func(_ string, f func()) { go f() },
		Interfaces: func() ([]Interface, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return []Interface{{Index: 1, Name: "eth0", Prefixes: slices.Clone(m.prefixes)}}, nil
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	port := w.port(netip.AddrPortFrom(netip.MustParsePrefix(prefix).Addr(), 5353).String())
	go func() { done <- r.serve(ctx, port) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(m.stop)
	return m
}

// query asks the group for a name, as type, with a class.
func query(t *testing.T, name string, kind dnsmessage.Type, class dnsmessage.Class, id uint16) []byte {
	t.Helper()
	b := newBuilder(dnsmessage.Header{ID: id}, name)
	b.must(b.StartQuestions())
	b.must(b.Question(dnsmessage.Question{Name: b.name, Type: kind, Class: class}))
	return b.finish()
}

// asks has an ordinary resolver ask until it has an answer, and gives that.
func (p *wirePort) asks(t *testing.T, name string, kind dnsmessage.Type) *dnsmessage.Message {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for {
		select {
		case in := <-p.in:
			var m dnsmessage.Message
			if err := m.Unpack(in.data); err != nil {
				t.Fatal(err)
			}
			return &m
		case <-tick.C:
			p.wire.send(p, query(t, name, kind, classIN, 77), netip.AddrPort{})
		case <-limit:
			t.Fatalf("nobody answers to %s", name)
		}
	}
}

func (p *wirePort) addressOf(t *testing.T, name string) string {
	t.Helper()
	m := p.asks(t, name, dnsmessage.TypeA)
	if len(m.Answers) != 1 {
		t.Fatalf("%s: %v", name, m.GoString())
	}
	a, ok := addressOf(m.Answers[0], name)
	if !ok {
		t.Fatalf("%s: %v", name, m.GoString())
	}
	return a.String()
}

func TestOrdinaryResolver(t *testing.T) {
	w := &wire{}
	w.machine(t, "Cellar", "192.0.2.7/24")
	asker := w.port("192.0.2.9:4000")
	m := asker.asks(t, "cellar.local.", dnsmessage.TypeA)
	if m.ID != 77 || len(m.Questions) != 1 || len(m.Answers) != 1 || m.Answers[0].Header.TTL != legacyTTL || m.Answers[0].Header.Class != classIN {
		t.Errorf("%s", m.GoString())
	}
	for _, name := range []string{"cellar.local.", "CELLAR.local."} {
		if got := asker.addressOf(t, name); got != "192.0.2.7" {
			t.Errorf("%s is %s", name, got)
		}
	}
	// Not from another network, and not for another name.
	far := w.port("198.51.100.1:4000")
	w.send(far, query(t, "cellar.local.", dnsmessage.TypeA, classIN, 1), netip.AddrPort{})
	w.send(asker, query(t, "other.local.", dnsmessage.TypeA, classIN, 1), netip.AddrPort{})
	w.send(asker, query(t, "cellar.local.", dnsmessage.TypeTXT, classIN, 1), netip.AddrPort{})
	w.send(asker, []byte("no DNS"), netip.AddrPort{})
	asker.addressOf(t, "cellar.local.") // what came before was looked at
	if len(far.in) != 0 {
		t.Error("a stranger was answered")
	}
}

func TestSpeakerOfMulticastDNS(t *testing.T) {
	w := &wire{}
	m := w.machine(t, "cellar", "192.0.2.7/24")
	peer := w.port("192.0.2.9:5353")
	next := func() *message {
		t.Helper()
		select {
		case in := <-peer.in:
			got, ok := parse(in.data, "cellar.local.")
			if !ok {
				t.Fatalf("garbled: %x", in.data)
			}
			return got
		case <-time.After(20 * time.Second):
			t.Fatal("silence")
			return nil
		}
	}
	for i := range probes {
		if p := next(); !p.probe || p.response {
			t.Fatalf("probe %d is %+v", i, p)
		}
	}
	for i := range announcements {
		if p := next(); !p.response || len(p.answers) != 1 {
			t.Fatalf("announcement %d is %+v", i, p)
		}
	}
	// An answer by unicast, as asked; NSEC for what there is not.
	w.send(peer, query(t, "cellar.local.", dnsmessage.TypeAAAA, classIN|unicastBit, 0), netip.AddrPort{})
	in := <-peer.in
	var full dnsmessage.Message
	if err := full.Unpack(in.data); err != nil || in.multicast || len(full.Answers) != 1 || full.Answers[0].Header.Type != typeNSEC {
		t.Errorf("for IPv6: multicast %v, %s, %v", in.multicast, full.GoString(), err)
	}
	// A new address is announced, after it was asked about.
	m.set("192.0.2.8/24")
	for {
		if p := next(); p.response && slices.Contains(p.answers, netip.MustParseAddr("192.0.2.8")) {
			break
		}
	}
	m.stop()
	for {
		if p := next(); p.goodbye {
			break
		}
	}
}

// TestTwoWithOneName: the second takes another name, whoever asks gets both.
func TestTwoWithOneName(t *testing.T) {
	w := &wire{}
	w.machine(t, "cellar", "192.0.2.7/24")
	asker := w.port("192.0.2.99:4000")
	asker.addressOf(t, "cellar.local.")
	w.machine(t, "cellar", "192.0.2.9/24")
	if got := asker.addressOf(t, "cellar-2.local."); got != "192.0.2.9" {
		t.Errorf("cellar-2 is %s", got)
	}
	if got := asker.addressOf(t, "cellar.local."); got != "192.0.2.7" {
		t.Errorf("cellar is %s", got)
	}
}

// TestTwoAtOnce: of two who come up together one gets the name, one another.
func TestTwoAtOnce(t *testing.T) {
	w := &wire{}
	w.machine(t, "cellar", "192.0.2.7/24")
	w.machine(t, "cellar", "192.0.2.9/24")
	asker := w.port("192.0.2.99:4000")
	first, second := asker.addressOf(t, "cellar.local."), asker.addressOf(t, "cellar-2.local.")
	if first == second {
		t.Errorf("both are %s", first)
	}
}

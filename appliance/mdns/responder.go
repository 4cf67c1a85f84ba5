// Package mdns answers for a box's name in multicast DNS (RFC 6762), so that it
// is found as HOSTNAME.local without anybody's name server, and asks for such
// names.
package mdns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Times of RFC 6762, 8.
const (
	probeInterval    = 250 * time.Millisecond
	probes           = 3
	announceInterval = time.Second
	announcements    = 2
	deferProbe       = time.Second // to another who probes for the same name
	answerInterval   = time.Second // between two multicasts of the same
	recordTTL        = 120         // seconds
	legacyTTL        = 10          // seconds, for who does not speak mDNS
)

// settle is how long addresses have to be quiet before they are looked at.
const settle = 300 * time.Millisecond

// Interface is a network that the box is found on.
type Interface struct {
	Index    int
	Name     string
	Prefixes []netip.Prefix // the box's own addresses with their networks
}

// Responder answers for one name. Its fields are set before Serve.
type Responder struct {
	// Hostname is the name's first label, "box" for box.local. Should another
	// on the network have it, box-2 is taken, and so on.
	Hostname string
	// Interfaces lists the networks to answer on.
	Interfaces func() ([]Interface, error)
	// Changes gets a value whenever Interfaces may say something else.
	Changes <-chan struct{}
	Logger  *slog.Logger
	// Go runs f in a goroutine in which a panic does not end the process.
	Go func(name string, f func())

	transport transport
	networks  map[int]*network // by the interface's index
	name      string           // with its dot: box.local.
	attempt   int              // 1 is the hostname itself
	phase     phase
	sent      int // probes or announcements of this phase
	timer     *time.Timer
}

type phase int

const (
	probing phase = iota
	announcing
	settled
)

// network is an interface as the responder sees it.
type network struct {
	Interface
	answered time.Time // last multicast answer
}

// addresses are the box's on the network.
func (n *network) addresses() []netip.Addr {
	var all []netip.Addr
	for _, p := range n.Prefixes {
		all = append(all, p.Addr())
	}
	return all
}

// Serve answers until ctx ends, and says goodbye.
func (r *Responder) Serve(ctx context.Context) error {
	t, err := listen()
	if err != nil {
		return err
	}
	defer t.close()
	return r.serve(ctx, t)
}

func (r *Responder) serve(ctx context.Context, t transport) error {
	r.transport, r.networks, r.attempt = t, make(map[int]*network), 1
	r.name = nameOf(r.Hostname, r.attempt)
	r.timer = time.NewTimer(0)
	defer r.timer.Stop()
	if err := r.rescan(); err != nil {
		return err
	}
	packets := make(chan packet)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 2)
	t.read(reading, r.Go, packets, failed)
	quiet := time.NewTimer(0)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			r.goodbye()
			return ctx.Err()
		case err := <-failed:
			return err
		case p := <-packets:
			r.receive(p)
		case <-r.timer.C:
			r.proceed()
		case <-r.Changes:
			quiet.Reset(settle)
		case <-quiet.C:
			if err := r.rescan(); err != nil {
				r.Logger.Warn("mdns: interfaces", "error", err)
			}
		}
	}
}

// nameOf is the name at the nth attempt: box.local., box-2.local., ...
func nameOf(hostname string, attempt int) string {
	label, _, _ := strings.Cut(hostname, ".")
	if attempt > 1 {
		suffix := fmt.Sprintf("-%d", attempt)
		const most = 63 // of a label
		label = label[:min(len(label), most-len(suffix))] + suffix
	}
	return strings.ToLower(label) + ".local."
}

// rescan takes in the interfaces there are, and begins anew when they or their
// addresses are others.
func (r *Responder) rescan() error {
	found, err := r.Interfaces()
	if err != nil {
		return err
	}
	changed := false
	seen := make(map[int]bool)
	for _, i := range found {
		if len(i.Prefixes) == 0 {
			continue
		}
		seen[i.Index] = true
		if n := r.networks[i.Index]; n != nil && slices.Equal(n.Prefixes, i.Prefixes) {
			continue
		}
		changed = true
		if err := r.transport.join(i.Index); err != nil && !errors.Is(err, errJoined) {
			r.Logger.Warn("mdns: interface", "interface", i.Name, "error", err)
		}
		r.networks[i.Index] = &network{Interface: i}
	}
	for index := range r.networks {
		if !seen[index] {
			delete(r.networks, index)
			r.transport.leave(index)
		}
	}
	if changed {
		r.probe(rand.N(probeInterval))
	}
	return nil
}

// probe asks whether anybody has the name, after a delay.
func (r *Responder) probe(after time.Duration) {
	r.phase, r.sent = probing, 0
	r.timer.Reset(after)
}

// proceed does what is due in this phase.
func (r *Responder) proceed() {
	switch r.phase {
	case probing:
		if r.sent == probes {
			r.phase, r.sent = announcing, 0
			if len(r.networks) > 0 {
				r.Logger.Info("mdns: this box is " + strings.TrimSuffix(r.name, "."))
			}
			r.proceed()
			return
		}
		for _, n := range r.networks {
			r.multicast(n, probeMessage(r.name, n.addresses()))
		}
		r.sent++
		r.timer.Reset(probeInterval)
	case announcing:
		for _, n := range r.networks {
			r.multicast(n, answerMessage(r.name, n.addresses(), recordTTL))
			n.answered = time.Now()
		}
		if r.sent++; r.sent == announcements {
			r.phase = settled
			return
		}
		r.timer.Reset(announceInterval)
	case settled:
	}
}

// goodbye has everybody forget the name.
func (r *Responder) goodbye() {
	if r.phase == probing {
		return
	}
	for _, n := range r.networks {
		r.multicast(n, answerMessage(r.name, n.addresses(), 0))
	}
}

// multicast sends a message on a network, over each IP that the box has there.
func (r *Responder) multicast(n *network, message []byte) {
	if err := r.transport.multicast(n.Interface, message); err != nil {
		r.Logger.Debug("mdns: sending", "interface", n.Name, "error", err) // it may be going down
	}
}

// receive looks at a packet that came over one of the networks.
func (r *Responder) receive(p packet) {
	n := r.networks[p.index]
	if n == nil {
		return
	}
	local := slices.ContainsFunc(n.Prefixes, func(own netip.Prefix) bool { return own.Masked().Contains(p.from.Addr().WithZone("")) })
	if !local {
		return // mDNS is for the link alone
	}
	own := r.addresses()
	if p.from.Port() == port && slices.Contains(own, p.from.Addr().WithZone("")) {
		return // our own, by another interface in the same network
	}
	m, ok := parse(p.data, r.name)
	if !ok {
		return
	}
	if m.response {
		if p.from.Port() == port && differ(m.answers, own) {
			r.conflict(n)
		}
		return
	}
	if r.phase == probing {
		// Two who probe at once: whose data is greater goes on (8.2).
		// What has our addresses alone is our own, passed on from network to network.
		if differ(m.authority, own) && compareRecords(m.authority, n.addresses()) > 0 {
			r.probe(deferProbe)
		}
		return
	}
	if m.asked == 0 {
		return
	}
	r.answer(n, p, m)
}

// addresses are the box's on all networks.
func (r *Responder) addresses() []netip.Addr {
	var all []netip.Addr
	for _, n := range r.networks {
		all = append(all, n.addresses()...)
	}
	return all
}

// conflict is another's claim to the name: we look for another while probing,
// and probe again once it was ours.
func (r *Responder) conflict(n *network) {
	if r.phase == probing {
		taken := r.name
		r.attempt++
		r.name = nameOf(r.Hostname, r.attempt)
		r.Logger.Warn("mdns: another on the network has the name", "name", taken, "interface", n.Name, "next", r.name)
		// 9: slower after many conflicts.
		delay := probeInterval
		if r.attempt > 15 {
			delay = 5 * time.Second
		}
		r.probe(delay)
		return
	}
	r.probe(rand.N(probeInterval))
}

// answer answers a query.
func (r *Responder) answer(n *network, p packet, m *message) {
	legacy := p.from.Port() != port
	switch {
	case legacy:
		r.unicast(p, legacyAnswer(m, r.name, n.addresses()))
	case m.probe || m.unicast || !p.multicast:
		r.unicast(p, answerTo(m, r.name, n.addresses()))
	case m.knows(n.addresses()):
	case time.Since(n.answered) < answerInterval:
	default:
		r.multicast(n, answerTo(m, r.name, n.addresses()))
		n.answered = time.Now()
	}
}

func (r *Responder) unicast(p packet, message []byte) {
	if err := r.transport.unicast(p.from, p.index, message); err != nil && !errors.Is(err, net.ErrClosed) {
		r.Logger.Debug("mdns: answering", "to", p.from.String(), "error", err) // it may have gone
	}
}

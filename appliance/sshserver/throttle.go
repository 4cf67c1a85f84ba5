package sshserver

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// source is where a connection comes from: an IPv4 address, or an IPv6 network
// of 64 bits, in which one machine has as many addresses as it likes.
type source netip.Prefix

func sourceOf(a net.Addr) source {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return source{}
	}
	address := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	p, err := address.Prefix(bits)
	if err != nil {
		return source{} // no address: all of these share one
	}
	return source(p)
}

// How refused keys slow a source down: freeFailures are at once (an agent
// offers the keys it has one after the other), then each doubles the delay.
// A source that is quiet for forgetAfter begins anew.
const (
	freeFailures = 3
	firstDelay   = 250 * time.Millisecond
	maxDelay     = 16 * time.Second
	// maxConnectionDelay bounds the sum on one connection, well below loginTime.
	maxConnectionDelay = 30 * time.Second
	forgetAfter        = 10 * time.Minute
	maxSources         = 1024
)

// Refusals are logged one by one up to logBurst, then one each logEvery: an
// attack must not push everything else out of the log.
const (
	logBurst = 30
	logEvery = 10 * time.Second
)

// throttle remembers the failures of sources.
type throttle struct {
	now func() time.Time

	mu       sync.Mutex
	failures map[source]*failures
	logged   float64 // of logBurst
	lastLog  time.Time
}

type failures struct {
	count int
	last  time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, failures: make(map[source]*failures)}
}

// failed counts a failure and gives the delay of its answer.
func (t *throttle) failed(from source) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	f := t.failures[from]
	if f == nil {
		t.makeRoom(now)
		f = &failures{}
		t.failures[from] = f
	}
	if now.Sub(f.last) > forgetAfter {
		f.count = 0
	}
	f.last = now
	f.count++
	return delayAfter(f.count)
}

// delayAfter is the delay of the nth failure's answer, from 1:
// min(maxDelay, firstDelay · 2^(n-freeFailures-1)), none up to freeFailures.
func delayAfter(n int) time.Duration {
	if n <= freeFailures {
		return 0
	}
	return min(maxDelay, firstDelay<<min(n-freeFailures-1, 16))
}

// makeRoom keeps the memory of failures bounded: what is old goes first, then
// whoever failed longest ago.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.failures) < maxSources {
		return
	}
	var oldest source
	var when time.Time
	for s, f := range t.failures {
		if now.Sub(f.last) > forgetAfter {
			delete(t.failures, s)
			continue
		}
		if when.IsZero() || f.last.Before(when) {
			oldest, when = s, f.last
		}
	}
	if len(t.failures) >= maxSources {
		delete(t.failures, oldest)
	}
}

// forget ends a source's slowness: it has shown a key.
func (t *throttle) forget(from source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.failures, from)
}

// mayLog says whether one more refusal is to be logged.
func (t *throttle) mayLog() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.logged = max(0, t.logged-now.Sub(t.lastLog).Seconds()/logEvery.Seconds())
	t.lastLog = now
	if t.logged > logBurst-1 {
		return false
	}
	t.logged++
	return true
}

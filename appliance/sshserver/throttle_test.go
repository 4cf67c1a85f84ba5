package sshserver

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSource(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"192.0.2.7", "192.0.2.7/32"},
		{"::ffff:192.0.2.7", "192.0.2.7/32"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"fe80::1", "fe80::/64"},
	} {
		got := sourceOf(&net.TCPAddr{IP: net.ParseIP(c.address), Port: 4000})
		if netip.Prefix(got).String() != c.want {
			t.Errorf("%s is of %s, want %s", c.address, netip.Prefix(got), c.want)
		}
	}
}

func TestDelayGrowsAndIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1_000_000).Draw(t, "n")
		d := delayAfter(n)
		if d < 0 || d > maxDelay || d > maxConnectionDelay {
			t.Fatalf("failure %d costs %v", n, d)
		}
		if delayAfter(n+1) < d {
			t.Fatalf("failure %d costs more than the next", n)
		}
	})
	if delayAfter(freeFailures) != 0 || delayAfter(freeFailures+1) != firstDelay || delayAfter(100) != maxDelay {
		t.Error(delayAfter(freeFailures), delayAfter(freeFailures+1), delayAfter(100))
	}
}

func TestThrottleForgetsAndIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	th := newThrottle(func() time.Time { return now })
	a := sourceOf(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)})
	for range 10 {
		th.failed(a)
	}
	now = now.Add(forgetAfter + time.Second)
	if d := th.failed(a); d != 0 {
		t.Errorf("after a quiet time a failure costs %v", d)
	}
	for i := range 3 * maxSources {
		th.failed(sourceOf(&net.TCPAddr{IP: net.IPv4(10, 1, byte(i>>8), byte(i))}))
		now = now.Add(time.Millisecond)
	}
	if n := len(th.failures); n > maxSources {
		t.Errorf("%d sources are remembered", n)
	}
	// Refusals are logged a few at once, then slowly.
	count := func() (n int) {
		for range 1000 {
			if th.mayLog() {
				n++
			}
		}
		return n
	}
	if n := count(); n != logBurst {
		t.Errorf("%d at once", n)
	}
	now = now.Add(3 * logEvery)
	if n := count(); n != 3 {
		t.Errorf("%d after three times %v", n, logEvery)
	}
}

package appliance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/runtime/rate"
)

// A peer of the admin API may call this often a second, and so often at once
// (equation 69). Calls beyond that are answered later, and none is refused.
const (
	callRate  = 500
	callBurst = 1000
	// peersKept is how many peers' buckets are kept before the full ones go.
	peersKept = 64
)

// peers are those who call the admin API.
type peers struct {
	mu      sync.Mutex
	buckets map[string]*rate.Bucket
}

// bucket gives that of a peer.
func (p *peers) bucket(peer string) *rate.Bucket {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b, ok := p.buckets[peer]; ok {
		return b
	}
	if p.buckets == nil {
		p.buckets = make(map[string]*rate.Bucket)
	}
	if len(p.buckets) >= peersKept {
		now := time.Now()
		for name, b := range p.buckets {
			if b.Full(now) { // no different from a new one
				delete(p.buckets, name)
			}
		}
	}
	b := rate.NewBucket(callRate, callBurst)
	p.buckets[peer] = b
	return b
}

// slow has the calls of a peer that floods the API wait.
func (p *peers) slow(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, _ := r.Context().Value(peerKey{}).(string)
		if p.bucket(peer).Wait(r.Context(), 1) != nil {
			return // the caller has left
		}
		h.ServeHTTP(w, r)
	})
}

// facts are the last fillings of the peers' buckets.
func (p *peers) facts() []equations.BucketFacts {
	p.mu.Lock()
	defer p.mu.Unlock()
	var facts []equations.BucketFacts
	for peer, b := range p.buckets {
		facts = append(facts, b.Facts("admin API, "+peer))
	}
	return facts
}

type peerKey struct{}

// withPeer notes who is at the other end of a connection: a process of this box
// or another machine.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	peer := c.RemoteAddr().String()
	switch at := c.RemoteAddr().(type) {
	case *vsock.Addr:
		peer = fmt.Sprintf("machine %d", at.ContextID)
	case *net.UnixAddr:
		if pid, err := peerProcess(c); err == nil { // else all such are one
			peer = fmt.Sprintf("process %d", pid)
		}
	}
	return context.WithValue(ctx, peerKey{}, peer)
}

// peerProcess is the process that has made a connection over a unix socket.
func peerProcess(c net.Conn) (int32, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("%T is no unix socket", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *unix.Ucred
	cerr := raw.Control(func(fd uintptr) {
		credentials, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if cerr != nil {
		return 0, cerr
	}
	if err != nil {
		return 0, err
	}
	return credentials.Pid, nil
}

package appliance

import (
	"io"
	"sync"

	"github.com/entroos/entroos/nko"
)

// maxRelayed bounds the output that a client has not taken yet, in bytes.
const maxRelayed = 64 << 10

// outputLeftOut stands for output that was lost on a slow client.
const outputLeftOut = "\n[output is left out here: it was not read in time]\n"

// relayed runs what must not be kept waiting, and sends what it writes for as
// long as a client listens: one that does not read loses output, and holds up
// nothing but itself.
func relayed(name string, run func(out io.Writer) error, send func([]byte) error) error {
	r := newRelay()
	done := make(chan error, 1)
	nko.Go(name, func() {
		err := nko.Protect(name, func() error { return run(r) })
		r.end()
		done <- err
	})
	for {
		output, ok := r.next()
		if !ok || send(output) != nil { // the client may have left
			return <-done
		}
	}
}

// relay keeps output until it is sent.
type relay struct {
	mu      sync.Mutex
	changed sync.Cond
	data    []byte
	lost    bool // since the last next
	ended   bool
}

func newRelay() *relay {
	r := new(relay)
	r.changed.L = &r.mu
	return r
}

// Write implements io.Writer. It never waits and never fails.
func (r *relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.data)+len(p) > maxRelayed {
		r.lost = true
	} else if !r.lost { // in order: what follows the gap comes after its note
		r.data = append(r.data, p...)
	}
	r.changed.Signal()
	return len(p), nil
}

func (r *relay) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.changed.Signal()
}

// next gives what was written since the last time, and waits for it; ok is
// false at the end.
func (r *relay) next() (output []byte, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.data) == 0 && !r.lost && !r.ended {
		r.changed.Wait()
	}
	output, r.data = r.data, nil
	if r.lost {
		output, r.lost = append(output, outputLeftOut...), false
	}
	return output, len(output) > 0
}

package appliance

import (
	"context"
	"fmt"
	"time"

	"github.com/entroos/entroos/nko"
)

// endOfStart is how long a start that is cut off may take to end: e2fsck ends
// what it is at.
const endOfStart = 20 * time.Second

// Begin brings the box up with start, in a goroutine of its own: whoever asks for
// the box's end meanwhile is served, and start's ctx ends.
func (b *Box) Begin(start func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	b.mu.Lock()
	b.cutStart = cancel
	b.mu.Unlock()
	nko.Go("start", func() {
		defer close(b.begun)
		b.Problem(nko.Protect("start", func() error { start(ctx); return nil }))
	})
}

// endStart cuts off the start, if it is under way, and waits for its end.
func (b *Box) endStart(ctx context.Context) error {
	b.mu.Lock()
	cut := b.cutStart
	b.mu.Unlock()
	if cut == nil {
		return nil
	}
	cut()
	select {
	case <-b.begun:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the start is left half way: %w", ctx.Err())
	}
}

// hasBegun says that the start has ended: the box's parts are those that it will
// have. Before that only the start itself may look at them.
func (b *Box) hasBegun() bool {
	select {
	case <-b.begun:
		return true
	default:
		return false
	}
}

// atLength does what may take long without anything being wrong.
func (b *Box) atLength(do func() error) error {
	b.lengthy.Store(true)
	defer b.lengthy.Store(false)
	return do()
}

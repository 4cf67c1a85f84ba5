package appliance

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/nko"
)

func quietBox() *Box {
	logger := slog.New(slog.DiscardHandler)
	b := NewBox(logger, nko.NewLogRing())
	b.Supervisor = nko.NewSupervisor(nil, nko.CgroupTree{}, logger)
	return b
}

// The box's end does not wait for a disk's check, and looks at no part that a
// start which hangs still makes.
func TestStartIsCutOff(t *testing.T) {
	patience := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	if err := quietBox().endStart(patience()); err != nil {
		t.Errorf("never begun: %v", err)
	}

	b := quietBox()
	b.Begin(func(ctx context.Context) { <-ctx.Done() })
	if b.hasBegun() {
		t.Error("a start under way is said to have ended")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.endStart(ctx); err != nil || !b.hasBegun() {
		t.Errorf("cut off: ended %v, error %v", b.hasBegun(), err)
	}

	hangs := quietBox()
	release := make(chan struct{})
	hangs.Begin(func(context.Context) { <-release })
	if err := hangs.endStart(patience()); !errors.Is(err, context.DeadlineExceeded) || hangs.hasBegun() {
		t.Errorf("hanging: ended %v, error %v", hangs.hasBegun(), err)
	}
	close(release)
	<-hangs.begun

	panics := quietBox()
	panics.Begin(func(context.Context) { panic("what a disk had to say") })
	<-panics.begun
	if p := panics.Problems(); len(p) != 1 || !strings.Contains(p[0], "what a disk had to say") {
		t.Errorf("problems %q", p)
	}
}

// A stage that panics is a problem in the stage's own words, and the next one
// has its turn.
func TestStagesPanicAlone(t *testing.T) {
	b := quietBox()
	if b.stage("`data reset` is not done: %w; again", func() error { panic("index out of range") }) {
		t.Error("a panic is called a success")
	}
	if !b.stage("%w", func() error { return nil }) {
		t.Error("the next stage has failed")
	}
	if p := b.Problems(); len(p) != 1 || !strings.HasPrefix(p[0], "`data reset` is not done: ") || !strings.HasSuffix(p[0], "index out of range; again") {
		t.Errorf("problems %q", p)
	}
}

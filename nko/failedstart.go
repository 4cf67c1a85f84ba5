package nko

import (
	"context"
	"time"

	"github.com/entroos/entroos/runtime"
)

// startBackoff spaces the attempts to start a declared container that could not
// be started: each leaves a receipt.
var startBackoff = Backoff{Initial: 30 * time.Second, Max: 30 * time.Minute}

// failedStart is what came of the last start that somebody waited for, when it
// failed; else it is zero.
type failedStart struct {
	err   error
	times int       // in a row
	again time.Time // when it may be tried again
}

// noteStart keeps what came of a start that somebody waited for.
func (t *task) noteStart(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.failed = failedStart{}
		return
	}
	delay := startBackoff.Delay(t.failed.times)
	t.failed = failedStart{err, t.failed.times + 1, time.Now().Add(delay)}
}

// startAgain starts a container whose last start failed, unless an operator has
// stopped it. The error is that of this start, or, while it is too early for
// another, of the last one.
func (w *Workloads) startAgain(id string) error {
	t, err := w.find(id)
	if err != nil {
		return err
	}
	t.mu.Lock()
	failed, stopped, active := t.failed, t.stopWanted, t.busy != nil
	t.mu.Unlock()
	if failed.err == nil || stopped {
		return nil
	}
	if active || time.Now().Before(failed.again) {
		return failed.err
	}
	_, err = w.launch(t, runtime.IO{}, &start{ctx: context.Background(), fresh: true}, nil)
	return err
}

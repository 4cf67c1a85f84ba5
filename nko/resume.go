package nko

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/entroos/entroos/runtime"
)

// Recover makes receipts of the executions that the box's last stop cut off,
// and has the engine clear what they left. It comes before anything runs;
// Resume follows. What it could not do is the error; the rest is done.
func (w *Workloads) Recover(ctx context.Context) error {
	var failed []error
	if err := w.engine.Recover(ctx); err != nil {
		failed = append(failed, fmt.Errorf("clear what the last boot left: %w", err))
	}
	starts, err := w.store.Starts()
	if err != nil {
		failed = append(failed, fmt.Errorf("start records: %w", err))
	}
	// In the order in which they had begun.
	slices.SortFunc(starts, func(a, b StartRecord) int { return a.At.Compare(b.At) })
	for _, start := range starts {
		t, ok := w.tasks[start.Container]
		if !ok {
			failed = append(failed, fmt.Errorf("the start record of container %s has no container", start.Container))
			continue
		}
		t.interrupted, t.owed = true, &start
		if err := t.settle(); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// Resume starts again what is to be running after a boot: policy always,
// unless-stopped if no operator has stopped it, on-failure if no operator has
// and it was cut off or waited for its restart, which is one of its retries.
// The others do not run, and are
// kept so; one that was to be removed at its end is removed.
func (w *Workloads) Resume(ctx context.Context) {
	for _, t := range w.list() {
		if ctx.Err() != nil {
			return
		}
		if !t.loaded {
			continue // made since the boot
		}
		var err error
		if t.resumes() {
			t.countResume()
			_, err = w.launch(t, runtime.IO{}, &start{ctx: context.Background()}, nil)
		} else {
			err = w.lay(ctx, t)
		}
		if err != nil && !errors.Is(err, ErrRunning) {
			w.logger.Error("container not resumed", "container", t.name(), "error", err)
		}
	}
}

// lay sees to a container that an earlier boot left and that is not to run.
func (w *Workloads) lay(ctx context.Context, t *task) error {
	if err := t.begin(); err != nil {
		return err // an operator has started it meanwhile
	}
	defer t.end()
	if err := t.settle(); err != nil {
		return err
	}
	if t.get().GetSpec().GetRemove() {
		return w.erase(ctx, t)
	}
	t.rest()
	return nil
}

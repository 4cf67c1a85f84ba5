//go:build !guest

package nko

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// countingPlacer places everything at once.
type countingPlacer struct {
	placed   []string
	released []string
}

func (p *countingPlacer) Place(_ context.Context, r *entroosv1.Replica, _ func(string)) error {
	p.placed = append(p.placed, r.GetId())
	return nil
}

func (p *countingPlacer) Release(id string) { p.released = append(p.released, id) }

func TestBrakedPlacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why, released := "", make(chan struct{})
		inner := new(countingPlacer)
		p := Braked(inner, func() (string, <-chan struct{}) { return why, released })
		var queued []string
		place := func(ctx context.Context, id string) chan error {
			done := make(chan error, 1)
			go func() {
				done <- p.Place(ctx, &entroosv1.Replica{Id: id}, func(reason string) { queued = append(queued, reason) })
			}()
			synctest.Wait()
			return done
		}
		if err := <-place(t.Context(), "a"); err != nil || len(queued) != 0 {
			t.Fatalf("without the brake: %v, %q", err, queued)
		}
		why = "short of memory"
		waiting := place(t.Context(), "b")
		ctx, cancel := context.WithCancel(t.Context())
		left := place(ctx, "c")
		if !slices.Equal(inner.placed, []string{"a"}) || !slices.Equal(queued, []string{why, why}) {
			t.Errorf("braked: %q placed, queued for %q", inner.placed, queued)
		}
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who leaves gets %v", err)
		}
		why = ""
		close(released)
		if err := <-waiting; err != nil || !slices.Equal(inner.placed, []string{"a", "b"}) {
			t.Errorf("released: %v, %q placed", err, inner.placed)
		}
		p.Release("b")
		if !slices.Equal(inner.released, []string{"b"}) {
			t.Errorf("%q released", inner.released)
		}
	})
}

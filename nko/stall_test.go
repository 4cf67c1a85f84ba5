//go:build !guest

package nko

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

// A supervisor that is stuck is seen to be: the watchdogs are fed by that.
func TestStalledSupervisorIsNotAlive(t *testing.T) {
	reaper := NewReaper(slog.New(slog.DiscardHandler))
	s := NewSupervisor(reaper, CgroupTree{}, slog.New(slog.DiscardHandler))
	Go("supervisor", func() { _ = s.Serve(context.Background()) }) // it does not end any more
	alive := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return s.Alive(ctx)
	}
	if err := alive(); err != nil {
		t.Fatal(err)
	}
	s.Stall()
	eventually(t, "the supervisor does not answer", func() bool { return alive() != nil })
}

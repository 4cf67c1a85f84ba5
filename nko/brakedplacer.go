package nko

import (
	"context"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// Brake says why nothing new is to begin now, empty when it may, and gives a
// channel that is closed when it may again.
type Brake func() (why string, released <-chan struct{})

// Braked is p, save that no placement begins while brake holds: the replica is
// queued for that reason.
func Braked(p Placer, brake Brake) Placer { return brakedPlacer{p, brake} }

type brakedPlacer struct {
	Placer
	brake Brake
}

func (b brakedPlacer) Place(ctx context.Context, r *entroosv1.Replica, queued func(reason string)) error {
	for {
		why, released := b.brake()
		if why == "" {
			return b.Placer.Place(ctx, r, queued)
		}
		queued(why)
		select {
		case <-released:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

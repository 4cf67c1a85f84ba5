package appliance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/entroos/entroos/appliance/bootslot"
	"github.com/entroos/entroos/nko"
)

const (
	// trialSettle is how long a box must have been ready without a break
	// before its UKI is blessed.
	trialSettle = 10 * time.Second
	// trialPatience is how long a box whose UKI is on trial may be degraded
	// without a break before it reboots, when there is a blessed UKI to go
	// back to.
	trialPatience = time.Minute
	// trialInterval is the time between two looks.
	trialInterval = time.Second
)

// Trial is the judgement on the UKI that runs: blessed when the box is healthy,
// given up when it is not.
type Trial struct {
	slots   *bootslot.Slots
	running bootslot.UKI // Name is empty when not known
}

// StartTrial finds out which UKI runs, and, when that is on trial, watches over
// the box's health until it is blessed.
func (b *Box) StartTrial() error {
	if b.Storage.Disk == nil {
		return nil // its absence has been told
	}
	slots := &bootslot.Slots{ESP: ESPPath}
	running, err := slots.Running()
	if errors.Is(err, bootslot.ErrNotTold) {
		b.Logger.Warn("booted", "error", err)
		return nil
	} else if err != nil {
		return fmt.Errorf("this boot cannot be marked good: %w", err)
	}
	b.mu.Lock()
	b.trial = &Trial{slots: slots, running: running}
	b.mu.Unlock()
	b.Logger.Info("booted", "uki", running.Name, "trial", running.OnTrial)
	if !running.OnTrial {
		return nil
	}
	_, err = b.Supervisor.Add(nko.ServiceSpec{Name: "trial", Run: b.serveTrial})
	return err
}

// serveTrial ends once the UKI is blessed, or the box reboots for its ill
// health.
func (b *Box) serveTrial(ctx context.Context) error {
	tick := time.NewTicker(trialInterval)
	defer tick.Stop()
	var phase trialPhase
	for {
		switch phase.next(b.State(), time.Now()) {
		case trialBless:
			b.bless()
			return fmt.Errorf("the trial is over: %w", nko.ErrStop)
		case trialGiveUp:
			if b.giveUp() {
				return fmt.Errorf("the trial is over: %w", nko.ErrStop)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// bless blesses the running UKI. When that fails the box is degraded, but does
// not go back: it is as healthy as it was.
func (b *Box) bless() {
	t := b.trial
	blessed, err := t.slots.Bless(t.running)
	if err != nil {
		b.Problem(fmt.Errorf("this boot could not be marked good: %w; the box goes back to the system before this one in %d boots, "+
			"check the EFI system partition", err, t.running.Left+1))
		return
	}
	b.mu.Lock()
	t.running = blessed
	b.mu.Unlock()
	b.Logger.Info("blessed", "uki", blessed.Name)
}

// giveUp asks for a reboot when there is something to go back to.
func (b *Box) giveUp() bool {
	t := b.trial
	fallback, ok, err := t.slots.Fallback(t.running)
	if err != nil {
		b.Logger.Error("trial", "error", err)
	}
	if !ok {
		return false
	}
	next := "this one again"
	if t.running.Left == 0 {
		next = fallback.Name
	}
	b.Announce("entroos: %s is on trial and has not become healthy in %v: rebooting, to try %s", t.running.Name, trialPatience, next)
	b.End(Reboot)
	return true
}

// BootEntry gives the file name of the UKI that runs, empty when that is not
// known, and whether it is blessed.
func (b *Box) BootEntry() (name string, blessed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trial == nil {
		return "", false
	}
	return b.trial.running.Name, !b.trial.running.OnTrial
}

// trialPhase is the state that the box is in, and since when.
type trialPhase struct {
	state string
	since time.Time
}

type trialVerdict int

const (
	trialWait trialVerdict = iota
	trialBless
	trialGiveUp
)

// next takes a look: ready for long enough is blessed, degraded for too long is
// given up.
func (p *trialPhase) next(state string, now time.Time) trialVerdict {
	if state != p.state {
		p.state, p.since = state, now
	}
	lasted := now.Sub(p.since)
	switch {
	case state == "ready" && lasted >= trialSettle:
		return trialBless
	case state == "degraded" && lasted >= trialPatience:
		return trialGiveUp
	}
	return trialWait
}

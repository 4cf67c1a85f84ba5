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
	// trialStart is how long the start of a box whose UKI is on trial may take,
	// without what is known to take long on a large disk.
	trialStart = 10 * time.Minute
	// trialInterval is the time between two looks.
	trialInterval = time.Second
)

// Trial is the judgement on the UKI that runs: blessed when the box is healthy,
// given up when it is not.
type Trial struct {
	slots   *bootslot.Slots
	running bootslot.UKI // Name is empty when not known
}

// StartTrial watches over the box's health, when the UKI that runs is on trial,
// until it is blessed or given up. It comes before the disks, whose drivers may
// be what is wrong.
func (b *Box) StartTrial() error {
	selected, err := bootslot.Selected()
	if err != nil {
		b.Logger.Warn("booted", "error", err)
		return nil
	}
	if !selected.OnTrial {
		return nil
	}
	_, err = b.Supervisor.Add(nko.ServiceSpec{Name: "trial", Run: func(ctx context.Context) error { return b.serveTrial(ctx, selected) }})
	return err
}

// FindUKI finds out which UKI runs, on the mounted ESP.
func (b *Box) FindUKI() error {
	if b.Storage.Disk == nil {
		return nil // its absence has been told
	}
	slots := &bootslot.Slots{ESP: ESPPath}
	running, err := slots.Running()
	if errors.Is(err, bootslot.ErrNotTold) {
		return nil
	} else if err != nil {
		return fmt.Errorf("this boot cannot be marked good: %w", err)
	}
	b.mu.Lock()
	b.trial = &Trial{slots: slots, running: running}
	b.mu.Unlock()
	b.Logger.Info("booted", "uki", running.Name, "trial", running.OnTrial)
	return nil
}

// serveTrial ends once the UKI is blessed, or the box reboots for its ill
// health.
func (b *Box) serveTrial(ctx context.Context, selected bootslot.UKI) error {
	tick := time.NewTicker(trialInterval)
	defer tick.Stop()
	var phase trialPhase
	for {
		switch phase.next(b.trialState(), time.Now()) {
		case trialBless:
			b.bless()
			return fmt.Errorf("the trial is over: %w", nko.ErrStop)
		case trialGiveUp:
			if b.giveUp(selected) {
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
	t := b.found()
	if t == nil {
		return // why has been told
	}
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

// found gives the UKI that runs and its ESP, or nil when they are not known.
func (b *Box) found() *Trial {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.trial
}

// trialState is State as the system that runs may be to blame for it: ready
// whatever else is wrong, and "busy" while the start is at what may take long.
func (b *Box) trialState() string {
	switch {
	case b.State() != "starting" && len(b.ownFaults()) > 0:
		return "degraded"
	case b.State() != "starting":
		return "ready"
	case b.lengthy.Load():
		return "busy"
	}
	return "starting"
}

// giveUp asks for a reboot when there is something to go back to. Nobody knows
// whether there is while the ESP cannot be read: then the reboots are those that
// the boot loader counts, and no more. No disk is left half repaired for it.
func (b *Box) giveUp(selected bootslot.UKI) bool {
	if !b.disks.TryLock() {
		return false
	}
	defer b.disks.Unlock()
	t := b.found()
	if t == nil {
		if !blindTry(selected) {
			return false
		}
		b.Announce("entroos: %s is on trial and has not become healthy: rebooting", selected.Name)
		b.End(Reboot)
		return true
	}
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
	b.Announce("entroos: %s is on trial and has not become healthy: rebooting, to try %s", t.running.Name, next)
	b.End(Reboot)
	return true
}

// blindTry says that the boot loader has counted this boot, and that it was one
// of the tries: it goes on counting when there is nothing else to boot.
func blindTry(u bootslot.UKI) bool { return u.Done > 0 && u.Done <= bootslot.Tries }

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
// given up, and so is a start without an end.
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
	case state == "starting" && lasted >= trialStart:
		return trialGiveUp
	}
	return trialWait
}

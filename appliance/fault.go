package appliance

import (
	"errors"
	"fmt"

	"github.com/entroos/entroos/nko"
)

// problem is what is wrong with the box until the next boot.
type problem struct {
	text    string
	outside bool
}

// outsideError is of something for which the system that runs is not to blame:
// another one would find it the same. It does not decide that one's trial.
type outsideError struct{ error }

func (e outsideError) Unwrap() error { return e.error }

// outside marks err, which may be nil, as such.
func outside(err error) error {
	if err == nil {
		return nil
	}
	return outsideError{err}
}

func isOutside(err error) bool {
	var o outsideError
	return errors.As(err, &o)
}

// faults says what is wrong with the box itself: it is degraded.
func (b *Box) faults() []string { return append(b.ownFaults(), b.outsideFaults()...) }

// ownFaults are the faults for which the system that runs may be to blame: they
// decide its trial.
func (b *Box) ownFaults() []string {
	all := b.noted(false)
	for _, s := range b.Supervisor.Unhealthy() {
		if s.State == nko.StateFailing && !s.FromSettings {
			text := failing(s)
			if s.Name == ledgerService && b.Storage.Data != "" {
				text += "; where its file is damaged, `data reset --keep-volumes` begins a new ledger"
			}
			all = append(all, text)
		}
	}
	if b.Store != nil {
		if err := b.Store.Damage(); err != nil {
			all = append(all, fmt.Sprintf("the box's records are closed: %v; containers that run go on, and nothing else is started or kept; "+
				"save what the volumes hold and reboot; if it comes again, replace the disk or use `data reset`", err))
		}
	}
	if b.Workloads != nil && b.Workloads.Problem() != "" {
		all = append(all, b.Workloads.Problem())
	}
	if b.Outbox != nil && b.Outbox.Problem() != "" {
		all = append(all, b.Outbox.Problem())
	}
	return all
}

// outsideFaults are those of the disks, of what is plugged in, and of the user's
// own programs.
func (b *Box) outsideFaults() []string {
	all := b.noted(true)
	if p := b.twins.Problem(); p != "" {
		all = append(all, p)
	}
	for _, s := range b.Supervisor.Unhealthy() {
		if s.State == nko.StateFailing && s.FromSettings {
			all = append(all, failing(s))
		}
	}
	if p := b.Storage.problem(); p != "" {
		all = append(all, p)
	}
	return all
}

// noted gives the problems that stay until the next boot, of one kind.
func (b *Box) noted(outside bool) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, p := range b.problems {
		if p.outside == outside {
			all = append(all, p.text)
		}
	}
	return all
}

func failing(s nko.ServiceStatus) string {
	return fmt.Sprintf("service %s is failing (%s); see `services logs %s`", s.Name, s.LastExit, s.Name)
}

package nko

import (
	"time"

	"github.com/entroos/entroos/equations"
)

const (
	// suspicion is the φ (equation 67) from which on a service is taken for
	// silent: wrongly once in 10⁸ times.
	suspicion = 8
	// livenessFloor is the least deviation assumed between a service's answers:
	// regular ones are no promise. With it, φ says no earlier that one is silent
	// than probeMisses probes in a row that had all of their time.
	livenessFloor = probeTimeout + time.Second
)

// liveness is what is known of a service's signs of life, which are its answers
// to probes. Looks that were asked for, and those of a service that does not do
// its work yet, come at times of their own: they are signs, and no intervals.
type liveness struct {
	seen  equations.Arrivals
	known int       // intervals seen, up to 2
	last  time.Time // of the last sign in this life; zero before the first
	due   bool      // the last look found the service at its work
}

// begin begins a life.
func (l *liveness) begin() { l.last, l.due = time.Time{}, false }

// answered notes a sign of life. settled says that the service does its work,
// asked that somebody wanted to look.
func (l *liveness) answered(now time.Time, settled, asked bool) {
	if settled && l.due && !asked {
		l.seen.Add(now.Sub(l.last))
		l.known = min(l.known+1, 2)
	}
	l.last, l.due = now, settled
}

// phi is how much the service is suspected of having failed silently; known
// says that there is enough to judge by.
func (l *liveness) phi(now time.Time) (phi float64, known bool) {
	if l.known < 2 || l.last.IsZero() {
		return 0, false
	}
	return l.seen.Phi(now.Sub(l.last), livenessFloor), true
}

// silent says whether a service that has not answered so many probes in a row
// has failed: when φ says so too, where it can.
func (l *liveness) silent(now time.Time, misses int) bool {
	phi, known := l.phi(now)
	return misses >= probeMisses && (!known || phi >= suspicion)
}

// Liveness is what the signs of life of the probed services that do their work,
// or do not answer any more, say of them.
func (s *Supervisor) Liveness() []equations.LivenessFacts {
	var facts []equations.LivenessFacts
	for _, service := range s.Services() {
		if f := service.liveness(time.Now()); f != nil {
			facts = append(facts, *f)
		}
	}
	return facts
}

func (s *Service) liveness(now time.Time) *equations.LivenessFacts {
	s.mu.Lock()
	defer s.mu.Unlock()
	phi, known := s.alive.phi(now)
	silent := s.state == StateFailing && s.silenced
	if s.spec.Probe == nil || !known || s.state != StateRunning && !silent {
		return nil
	}
	return &equations.LivenessFacts{
		Name: s.spec.Name, Seen: s.alive.seen, Elapsed: now.Sub(s.alive.last), Floor: livenessFloor, Phi: phi, Live: !silent,
	}
}

package nko

import (
	"time"

	"github.com/entroos/entroos/equations"
)

// history is how long a service was up and down since the box's boot. Up is
// running, or waiting for the world; down is from a failure until it is up
// again. Its first start, an end that is part of its life, and the time that it
// is stopped are neither.
type history struct {
	up, down time.Duration
	failures uint64
	now      condition
	since    time.Time
}

type condition int

const (
	neither condition = iota
	isUp
	isDown
)

// enter notes the condition from now on.
func (h *history) enter(c condition, now time.Time) {
	h.up, h.down = h.until(now)
	if c == isDown && h.now != isDown {
		h.failures++
	}
	h.now, h.since = c, now
}

// until gives the times up and down so far.
func (h *history) until(now time.Time) (up, down time.Duration) {
	up, down = h.up, h.down
	switch h.now {
	case isUp:
		up += now.Sub(h.since)
	case isDown:
		down += now.Sub(h.since)
	}
	return up, down
}

// record puts a change of the state into the history. s.mu is held.
func (s *Service) record(state State) {
	now := time.Now()
	switch state {
	case StateRunning, StateWaiting:
		s.history.enter(isUp, now)
	case StateFailing:
		s.history.enter(isDown, now)
	case StateRestarting:
		if s.orderly {
			s.history.enter(neither, now)
		} else {
			s.history.enter(isDown, now)
		}
	case StateStopped:
		s.history.enter(neither, now)
	case StateStarting: // goes on to be what it was
	}
}

// Availability is how dependable a service has been since the box's boot
// (equation 70).
type Availability struct {
	// Share is MTBF/(MTBF + MTTR), from 0 to 1.
	Share float64
	// Failures, and the means between them and to the repair; without a failure
	// MTBF is the time that the service was up.
	Failures   uint64
	MTBF, MTTR time.Duration
}

// availability is the service's so far. s.mu is held.
func (s *Service) availability(now time.Time) (Availability, equations.ServiceFacts) {
	h := s.history
	if s.state == StateStarting && now.Sub(s.started) > startTimeout && h.now == neither {
		h.enter(isDown, s.started) // it has never come up
	}
	up, down := h.until(now)
	n := time.Duration(max(h.failures, 1))
	a := Availability{Failures: h.failures, MTBF: up / n, MTTR: down / n}
	// The same as of the means, without their rounding.
	a.Share = equations.Availability(up, down)
	return a, equations.ServiceFacts{Service: s.spec.Name, Up: up, Down: down, Failures: a.Failures, Availability: a.Share}
}

// Availability tells how dependable each service has been.
func (s *Supervisor) Availability() []equations.ServiceFacts {
	now := time.Now()
	var facts []equations.ServiceFacts
	for _, service := range s.Services() {
		service.mu.Lock()
		_, f := service.availability(now)
		service.mu.Unlock()
		facts = append(facts, f)
	}
	return facts
}

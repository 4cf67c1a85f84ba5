package nko

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// watch looks at the service's health until its life ends.
func (s *Service) watch(ctx context.Context) {
	for asked := false; ; {
		interval := s.look(ctx, asked)
		asked = false
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-s.probe:
			timer.Stop()
			asked = true
		}
	}
}

// look looks at the service's health, and says when to look again. asked: it was
// not yet time to.
func (s *Service) look(ctx context.Context, asked bool) time.Duration {
	var err error
	if s.spec.Probe != nil {
		probeCtx, cancel := context.WithTimeout(ctx, probeTimeout)
		err = s.spec.Probe(probeCtx)
		cancel()
	} else if s.spec.ReadyText != "" && !s.ready.Load() {
		err = ErrWaiting
	}
	if ctx.Err() != nil {
		return 0
	}
	s.mu.Lock()
	now := time.Now()
	if err == nil || errors.Is(err, ErrWaiting) {
		s.misses, s.silenced = 0, false
		s.alive.answered(now, err == nil, asked)
	} else {
		s.misses++
	}
	silent := s.state == StateRunning && s.alive.silent(now, s.misses) // a busy box is slow to answer
	failing := s.failures >= failingAfter
	stable := time.Since(s.started) >= stableAfter
	if stable {
		s.failures = 0
	}
	s.mu.Unlock()
	switch {
	case err == nil && failing && s.spec.Probe == nil && !stable:
		// Running is all we know of it, and it has just been failing.
		return probeHealthy
	case err == nil:
		s.set(StateRunning)
		if s.spec.Probe == nil && stable {
			return probeSettled // its end is seen, and says all
		}
		return probeHealthy
	case errors.Is(err, ErrWaiting):
		s.set(StateWaiting)
		return probeWaiting
	case silent:
		s.logger.Warn("service does not answer", "service", s.spec.Name, "error", err)
		s.mu.Lock()
		s.lastExit, s.silenced = fmt.Sprintf("does not answer: %v", err), true
		s.mu.Unlock()
		s.set(StateFailing)
	}
	if !stable {
		return probeStarting
	}
	return probeUnhealthy
}

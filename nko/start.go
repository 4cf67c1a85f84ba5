package nko

import (
	"context"
	"sync"
)

// start is a container's start that somebody waits for: until its first process
// runs, or could not be started, or it is queued.
type start struct {
	ctx      context.Context // of whoever waits
	fresh    bool            // an operator's, to whom a failure is told
	made     bool            // the container was made for it: without a place, it goes
	attended bool            // the wait goes on while the container is queued

	once   sync.Once
	came   chan error    // what came of it; buffered
	queued chan struct{} // the container waits for its place; buffered
}

// is tells what came of the start; the first word counts.
func (s *start) is(t *task, err error) {
	s.once.Do(func() {
		if s.fresh {
			t.noteStart(err)
		}
		s.came <- err
	})
}

// waits tells that the container is queued. From then on nobody waits for it
// who is not attending: what becomes of it is up to its restart policy.
func (s *start) waits(t *task) {
	if s.fresh && !s.attended {
		s.fresh = false
		t.noteStart(nil)
	}
	select {
	case s.queued <- struct{}{}:
	default: // was told
	}
}

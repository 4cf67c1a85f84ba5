package store

import (
	"time"

	"go.etcd.io/bbolt"
)

// runCommits writes what is pending, all streams' at once, until the store is
// closed.
func (s *Store) runCommits() {
	var timer *time.Timer
	var due <-chan time.Time
	for {
		select {
		case <-s.stop:
			if timer != nil {
				timer.Stop()
			}
			return
		case <-s.wake:
		case <-due:
			due = nil
			s.mu.Lock()
			s.urgent = true
			s.mu.Unlock()
		}
		s.mu.Lock()
		urgent, dirty := s.urgent, len(s.dirty) > 0
		s.mu.Unlock()
		switch {
		case urgent:
			wait, err := time.Duration(0), s.commit()
			if err != nil {
				s.options.Warn(err)
				wait = s.retryDelay()
			}
			if wait > 0 {
				timer, due = rearm(timer, wait)
			}
		case dirty && due == nil:
			timer, due = rearm(timer, s.options.FlushDelay)
		}
	}
}

func rearm(t *time.Timer, d time.Duration) (*time.Timer, <-chan time.Time) {
	if t == nil {
		t = time.NewTimer(d)
	} else {
		t.Reset(d)
	}
	return t, t.C
}

// retryDelay is until when a failed commit is tried again.
func (s *Store) retryDelay() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	delay := retryLast
	for _, st := range s.dirty {
		st.mu.Lock()
		delay = min(delay, max(time.Until(st.retry), retryFirst))
		st.mu.Unlock()
	}
	return delay
}

// batch is a part of a stream's pending entries that is being committed.
type batch struct {
	stream  *stream
	header  header
	payload []byte
	dropped []*header // to make room for it
}

// commit writes what is pending now.
func (s *Store) commit() error {
	s.mu.Lock()
	dirty := s.dirty
	s.dirty, s.urgent, s.since = nil, false, time.Time{}
	for _, st := range dirty {
		st.mu.Lock()
		st.queued = false
		st.flying, st.pending = st.pending, nil
		st.mu.Unlock()
	}
	s.mu.Unlock()
	if len(dirty) == 0 {
		return nil
	}
	var batches []batch
	var bytes int64
	var err error
	for _, st := range dirty {
		var b body
		for _, e := range st.flying { // which only commits change
			b.add(e.Entry)
		}
		if b.len() == 0 {
			continue
		}
		st.mu.Lock()
		d := st.dictionary
		st.mu.Unlock()
		h, payload, failed := s.codec.encodeBatch(&b, d)
		if failed != nil {
			err = failed
			break
		}
		batches = append(batches, batch{stream: st, header: h, payload: payload})
		bytes += int64(h.stored())
	}
	if err == nil {
		err = s.needRoom(bytes)
	}
	if err == nil {
		err = s.updateThen(func(tx *bbolt.Tx) error { return s.putBatches(tx, batches) }, func() {
			for _, b := range batches {
				b.stream.exchange([]*header{&b.header}, b.dropped)
			}
		})
	}
	s.settle(dirty, err)
	if err == nil {
		poke(s.work)
	}
	return err
}

// putBatches adds the batches to their tails. A stream that has become larger
// than it may loses its oldest units at once: upkeep may be far behind.
func (s *Store) putBatches(tx *bbolt.Tx, batches []batch) error {
	for i := range batches {
		b := &batches[i]
		if b.stream.removed() {
			continue
		}
		if err := putUnit(tx, b.stream.id, &b.header, b.payload); err != nil {
			return err
		}
		var err error
		if b.dropped, err = s.dropOldest(tx, b.stream, b.header.stored()); err != nil {
			return err
		}
	}
	return nil
}

// settle ends a commit of streams.
func (s *Store) settle(dirty []*stream, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range dirty {
		st.mu.Lock()
		before := st.held
		if failed == nil {
			st.settled()
		} else {
			st.unsettled(failed)
		}
		s.held -= before - st.held
		if len(st.pending) > 0 && !st.queued {
			st.queued = true
			s.dirty = append(s.dirty, st)
			if s.since.IsZero() {
				s.since = time.Now()
			}
		}
		st.mu.Unlock()
	}
	if s.freed != nil {
		close(s.freed)
		s.freed = nil
	}
	if failed == nil && len(s.dirty) > 0 {
		poke(s.wake)
	}
}

// settled: what was flying is on disk. It is called with mu.
func (st *stream) settled() {
	for _, e := range st.flying {
		st.held -= len(e.Data)
	}
	if n := len(st.flying); n > 0 {
		st.durable = st.flying[n-1].Sequence
	}
	st.flying = nil
	st.failed, st.delay = nil, 0
	kept := st.waiters[:0]
	for _, w := range st.waiters {
		if w.last <= st.durable {
			w.done <- nil
		} else {
			kept = append(kept, w)
		}
	}
	st.waiters = kept
	st.announce()
}

// unsettled: what was flying is not on disk. It is called with mu.
func (st *stream) unsettled(failed error) {
	var kept []pendingEntry
	var last uint64
	for _, e := range st.flying {
		last = e.Sequence
		if e.fleeting {
			st.held -= len(e.Data)
		} else {
			kept = append(kept, e)
		}
	}
	st.pending, st.flying = append(kept, st.pending...), nil
	st.failed = failed
	st.delay = min(max(2*st.delay, retryFirst), retryLast)
	st.retry = time.Now().Add(st.delay)
	waiting := st.waiters[:0]
	for _, w := range st.waiters {
		if w.last <= last {
			w.done <- failed
		} else {
			waiting = append(waiting, w)
		}
	}
	st.waiters = waiting
	st.announce()
}

// roomStep is how much is written at most between two looks at the disk, in
// bytes.
const roomStep = 1 << 20

// commitOverhead is what a commit writes beside its values, in bytes, about.
const commitOverhead = 64 << 10

// needRoom fails when so many bytes more would touch what is kept free.
func (s *Store) needRoom(bytes int64) error {
	if s.options.Room == nil {
		return nil
	}
	bytes += commitOverhead
	if s.room -= bytes; s.room >= 0 {
		return nil
	}
	free, err := s.options.Room()
	if err != nil {
		s.room = 0
		return err
	}
	if s.room = min(roomStep, free) - bytes; s.room < 0 {
		s.room = 0
		if free < bytes {
			return ErrFull
		}
	}
	return nil
}

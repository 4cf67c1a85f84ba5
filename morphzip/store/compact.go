package store

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// denseSize is how many bytes of entries a dense block has, about. It is
	// what bounds compaction's memory, and how long a reader waits for one.
	denseSize = 2 << 20
	// Where there is less than half of it, blocks wait for more for so many
	// times CompactAfter.
	compactPatience = 24
	// compactLook is between two looks at the blocks, at least.
	compactLook = time.Second
)

// runCompaction makes dense blocks of those that are old enough, within its
// part of a CPU, until the store is closed. Where there are none it sleeps.
func (s *Store) runCompaction() {
	var encoder *blockEncoder // its memory is taken when it is needed first
	var timer *time.Timer
	var due <-chan time.Time
	for {
		select {
		case <-s.stop:
			if timer != nil {
				timer.Stop()
			}
			return
		case <-s.ripen:
			if due != nil {
				continue
			}
		case <-due:
			due = nil
		}
		if encoder == nil {
			var err error
			if encoder, err = newBlockEncoder(levelDense, &s.facts); err != nil {
				s.options.Warn(err)
				return
			}
		}
		began := time.Now()
		wait, err := s.compactOne(encoder)
		if err != nil && !errors.Is(err, errRemoved) && !errors.Is(err, errChanged) {
			s.options.Warn(fmt.Errorf("compaction: %w", err))
			wait = max(wait, time.Minute)
		}
		if wait < 0 {
			continue
		}
		pause := time.Duration(float64(time.Since(began)) * (1/s.options.CompactionShare - 1))
		timer, due = rearm(timer, max(wait, pause, compactLook))
	}
}

// compactOne makes one dense block, where there is one to make. It gives how
// long there will be none, below 0 for ever.
func (s *Store) compactOne(encoder *blockEncoder) (wait time.Duration, err error) {
	wait = -1
	for _, st := range s.loaded() {
		st.mu.Lock()
		young := st.young
		st.mu.Unlock()
		if young == 0 {
			continue
		}
		run, ripe, err := s.ripeRun(st)
		if err != nil {
			return 0, fmt.Errorf("stream %q: %w", st.name, err)
		}
		if len(run) > 0 {
			if err := s.compact(encoder, st, run); err != nil {
				return 0, fmt.Errorf("stream %q: %w", st.name, err)
			}
			return 0, nil
		}
		if !ripe.IsZero() {
			later := max(0, ripe.Sub(s.options.Now()))
			if wait < 0 || later < wait {
				wait = later
			}
		}
	}
	return wait, nil
}

// ripeRun gives the first neighbouring blocks of which a dense one can be made,
// or when there may be some.
func (s *Store) ripeRun(st *stream) (run []*header, ripe time.Time, err error) {
	now := s.options.Now()
	var size, entries uint64
	full := false
	var young *header // the first that is too young
	err = s.view(func(tx *bbolt.Tx) error {
		return eachHeader(tx, bucketBlocks, st.id, 0, func(h *header) bool {
			barrier := h.level >= levelDense || h.broken || st.isDamaged(h.first)
			if !barrier && timeOf(h.until).Add(s.options.CompactAfter).After(now) {
				young = h
				return false
			}
			full = len(run) > 0 && (barrier || size+h.data > denseSize || entries+h.entries > maxEntries)
			if full {
				return false
			}
			if !barrier {
				run = append(run, h)
				size += h.data
				entries += h.entries
			}
			return true
		})
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(run) == 0 {
		if young != nil {
			ripe = timeOf(young.until).Add(s.options.CompactAfter)
		}
		return nil, ripe, nil
	}
	patience := timeOf(run[0].until).Add(compactPatience * s.options.CompactAfter)
	if full || size >= denseSize/2 || !patience.After(now) {
		return run, time.Time{}, nil
	}
	ripe = patience
	if young != nil {
		if at := timeOf(young.until).Add(s.options.CompactAfter); at.Before(ripe) {
			ripe = at
		}
	}
	return nil, ripe, nil
}

// compact makes a dense block of neighbouring ones, while others read and
// append.
func (s *Store) compact(encoder *blockEncoder, st *stream, run []*header) error {
	var b body
	for i, h := range run {
		u, err := s.unitAt(st.id, h.first)
		if err != nil {
			return err
		}
		if u.header == nil || u.header.first != h.first || u.header.last != h.last {
			return errChanged
		}
		more, err := s.codec.decode(u)
		if err != nil {
			// Readers are told of it. What is around it is made dense.
			st.setDamaged(h.first)
			if run = run[:i]; i == 0 {
				return nil
			}
			break
		}
		b.join(more)
	}
	h, payload := encoder.encode(&b)
	return s.updateThen(func(tx *bbolt.Tx) error {
		if st.removed() {
			return errRemoved
		}
		if err := unchanged(tx, st.id, run); err != nil {
			return err
		}
		for _, old := range run {
			if err := deleteUnit(tx, st.id, old); err != nil {
				return err
			}
		}
		return putUnit(tx, st.id, &h, payload)
	}, func() { st.exchange([]*header{&h}, run) })
}

// isDamaged says whether the block that begins with a sequence number was found
// to be damaged.
func (st *stream) isDamaged(first uint64) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.damaged[first]
}

func (st *stream) setDamaged(first uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.damaged == nil {
		st.damaged = make(map[uint64]bool)
	}
	st.damaged[first] = true
}

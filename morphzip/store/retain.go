package store

import (
	"bytes"
	"errors"

	"go.etcd.io/bbolt"
)

// retainStep is how many units are dropped at most in one transaction.
const retainStep = 32

// retain drops a stream's oldest units while they are too many or too old. The
// last one stays.
func (s *Store) retain(st *stream) error {
	for !s.stopping() {
		due, err := s.retentionDue(st)
		if err != nil || !due {
			return err
		}
		var dropped []*header
		err = s.updateThen(func(tx *bbolt.Tx) (err error) {
			dropped, err = s.dropOldest(tx, st, 0)
			return err
		}, func() { st.exchange(nil, dropped) })
		if err != nil {
			return err
		}
		if len(dropped) < retainStep {
			return nil
		}
	}
	return nil
}

// retentionDue says whether there is something to drop.
func (s *Store) retentionDue(st *stream) (due bool, err error) {
	st.mu.Lock()
	stored, units := st.blocks.stored+st.tail.stored, st.blocks.units+st.tail.units
	bounds := s.effective(st.retention)
	st.mu.Unlock()
	if units <= 1 {
		return false, nil
	}
	if bounds.over(stored) || bounds.MaxAge <= 0 {
		return bounds.over(stored), nil
	}
	oldest := s.oldest(bounds)
	err = s.view(func(tx *bbolt.Tx) error {
		h, err := firstUnit(tx, st.id)
		due = h != nil && h.until < oldest
		return err
	})
	return due, err
}

func (r Retention) over(stored uint64) bool { return r.MaxBytes > 0 && stored > uint64(r.MaxBytes) }

// oldest is the time before which entries are too old.
func (s *Store) oldest(r Retention) int64 {
	if r.MaxAge <= 0 {
		return earliest
	}
	return microseconds(s.options.Now().Add(-r.MaxAge))
}

// firstUnit gives the header of a stream's first unit, nil where there is none.
func firstUnit(tx *bbolt.Tx, id uint32) (first *header, err error) {
	for _, bucket := range unitBuckets {
		err := eachHeader(tx, bucket, id, 0, func(h *header) bool {
			first = h
			return false
		})
		if err != nil || first != nil {
			return first, err
		}
	}
	return nil, nil
}

// dropOldest drops the oldest units, a step of them at most, of a stream that is
// to have so many bytes more. It gives their headers.
func (s *Store) dropOldest(tx *bbolt.Tx, st *stream, more uint64) (dropped []*header, err error) {
	st.mu.Lock()
	stored, units := st.blocks.stored+st.tail.stored+more, st.blocks.units+st.tail.units
	bounds := s.effective(st.retention)
	st.mu.Unlock()
	if more > 0 {
		units++
	}
	oldest := s.oldest(bounds)
	for _, bucket := range unitBuckets {
		more := true
		if err := eachHeader(tx, bucket, st.id, 0, func(h *header) bool {
			more = units > 1 && len(dropped) < retainStep && (bounds.over(stored) || h.until < oldest)
			if more {
				dropped = append(dropped, h)
				units--
				stored -= h.stored()
			}
			return more
		}); err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	if len(dropped) == 0 {
		return nil, nil
	}
	last := dropped[len(dropped)-1].last
	if err := changeRecord(tx, st, func(r *streamRecord) { r.last = max(r.last, last) }); err != nil {
		return nil, err
	}
	for _, h := range dropped {
		if err := deleteUnit(tx, st.id, h); err != nil {
			return nil, err
		}
	}
	return dropped, nil
}

// exchange notes that units have come and gone.
func (st *stream) exchange(come, gone []*header) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, h := range come {
		st.totals(h).add(h)
		st.young += h.young()
	}
	for _, h := range gone {
		st.totals(h).remove(h)
		st.young -= h.young()
	}
}

// totals are those that a unit counts in. It is called with mu.
func (st *stream) totals(h *header) *totals {
	if h.level == levelBatch {
		return &st.tail
	}
	return &st.blocks
}

// young is 1 for a block that is not dense, else 0.
func (h *header) young() int {
	if h.level == levelBatch || h.level >= levelDense {
		return 0
	}
	return 1
}

// errChanged says that what was to be replaced is not as it was.
var errChanged = errors.New("what is stored has changed meanwhile")

// unchanged fails unless the units are as they were read.
func unchanged(tx *bbolt.Tx, id uint32, units []*header) error {
	for _, h := range units {
		if !h.broken && !bytes.HasPrefix(tx.Bucket(h.bucketOf()).Get(key(id, h.first)), h.append(nil)) {
			return errChanged
		}
	}
	return nil
}

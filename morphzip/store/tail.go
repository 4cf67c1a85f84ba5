package store

import (
	"bytes"

	"go.etcd.io/bbolt"
)

// findTail sets where to begin for the given number of last lines: of all the
// data, one entry's after the other. A last line without a newline counts.
func (r *streamReader) findTail(lines int64) error {
	if lines == 0 {
		r.next = r.end + 1
		return nil
	}
	t := tail{need: uint64(lines), from: r.next}
	st := r.stream
	st.mu.Lock()
	durable := st.durable
	var entries []Entry
	for _, list := range [][]pendingEntry{st.flying, st.pending} {
		for _, e := range list {
			if e.Sequence <= r.end && r.inTime(e.Time) {
				entries = append(entries, e.Entry)
			}
		}
	}
	st.mu.Unlock()
	for i := len(entries) - 1; i >= 0; i-- {
		if t.entry(entries[i]) {
			r.begin(&t)
			return nil
		}
	}
	end := min(r.end, durable)
	for end >= r.next && end > 0 {
		u, counted, err := r.unitUpTo(end, &t)
		if err != nil {
			return err
		}
		h := u.header
		if h == nil {
			break
		}
		if counted {
			end = h.first - 1
			continue
		}
		b, err := r.store.codec.decode(u)
		if err != nil {
			// Reading says so; here it counts as a line.
			if t.newlines(1, true) {
				t.sequence = h.first
				break
			}
			end = h.first - 1
			continue
		}
		for i := b.len() - 1; i >= 0; i-- {
			if e := b.entry(i); e.Sequence <= r.end && r.inTime(e.Time) && t.entry(e) {
				r.begin(&t)
				return nil
			}
		}
		end = h.first - 1
	}
	r.begin(&t)
	return nil
}

func (r *streamReader) begin(t *tail) {
	if t.sequence >= r.next {
		r.next, r.skip = t.sequence, t.skip
	}
}

// tail goes backwards through a stream, counting lines.
type tail struct {
	need     uint64 // lines, still
	from     uint64
	begun    bool // the last byte was seen
	sequence uint64
	skip     int
}

// entry counts an entry's lines; it is true when there are enough, and then the
// tail begins skip bytes into it.
func (t *tail) entry(e Entry) bool {
	data := e.Data
	if len(data) == 0 {
		return false
	}
	if !t.begun {
		t.begun = true
		if data[len(data)-1] == '\n' {
			data = data[:len(data)-1] // it ends the last line, and begins none
		}
	}
	for n := bytes.Count(data, newline); n > 0; n-- {
		at := bytes.LastIndexByte(data, '\n')
		if t.need--; t.need == 0 {
			t.sequence, t.skip = e.Sequence, at+1
			return true
		}
		data = data[:at]
	}
	return false
}

// newlines counts those of a unit without looking into it; it is false, and
// nothing is counted, when there would be enough.
func (t *tail) newlines(n uint64, ends bool) (enough bool) {
	if !t.begun && ends && n > 0 {
		n--
	}
	if n >= t.need {
		return true
	}
	t.begun = true
	t.need -= n
	return false
}

// unitUpTo gives the last unit that begins at or before a sequence number. If its
// lines are not counted, that has to be done one by one.
func (r *streamReader) unitUpTo(sequence uint64, t *tail) (u unit, counted bool, err error) {
	id := r.stream.id
	err = r.store.view(func(tx *bbolt.Tx) error {
		for _, bucket := range [][]byte{bucketTail, bucketBlocks} {
			h, value := unitBefore(tx, bucket, id, sequence)
			if h == nil {
				continue
			}
			u.header = h
			whole := h.last <= r.end && h.since >= r.since && h.until < r.until
			if h.data == 0 && !h.broken || r.outside(h) || whole && !t.newlines(h.newlines, h.endsLine) {
				counted = true
				return nil
			}
			u = loadUnit(tx, id, h, value)
			return nil
		}
		return nil
	})
	return u, counted, err
}

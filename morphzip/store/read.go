package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Query says which entries of a stream are wanted: those that meet all of it.
type Query struct {
	// From and To are the first and the last sequence number; 0 is open.
	From, To uint64
	// Since is the earliest time, and Until what the times are before; zero is
	// open.
	Since, Until time.Time
	// Tail is how many of the last lines; negative is all. With Grep it is how
	// many of the last lines that match.
	Tail int64
	// Follow goes on with what is appended later, until the stream's last
	// appender closes, the stream is removed, or the context ends. A stream
	// that has had no appender since the store was opened is followed until the
	// context ends.
	Follow bool
	// Grep gives lines in place of entries, those that match.
	Grep *Grep
}

// Read calls visit for the entries of a stream that a query asks for, in the
// order of their sequence numbers. An entry's data is valid during the call
// only. A stream that is not there is empty. Readers keep nobody from
// appending, however slow visit is; what retention drops before visit comes to
// it is left out. Where a part of the stream is damaged, there is an entry of
// standard error that says so.
func (s *Store) Read(ctx context.Context, stream string, q Query, visit func(Entry) error) error {
	st, err := s.stream(stream, false)
	if err != nil || st == nil {
		return err
	}
	r := s.newStreamReader(ctx, st, q)
	if q.Grep != nil {
		err = r.grep(visit)
	} else {
		err = r.run(visit)
	}
	if err != nil {
		return fmt.Errorf("stream %q: %w", stream, err)
	}
	return nil
}

// streamReader is one Read.
type streamReader struct {
	ctx    context.Context
	store  *Store
	stream *stream
	query  Query

	next         uint64 // the sequence number to go on with
	skip         int    // bytes to leave out of the first entry
	end          uint64 // the last sequence number when it began
	since, until int64  // times, microseconds
	returned     uint64
	decoded      uint64
	block        uint64             // the largest unit that was decoded
	useless      func(*header) bool // tells units of which nothing is wanted; nil is none
}

const (
	earliest = -1 << 63
	latest   = 1<<63 - 1
)

func (s *Store) newStreamReader(ctx context.Context, st *stream, q Query) *streamReader {
	r := &streamReader{ctx: ctx, store: s, stream: st, query: q, next: max(q.From, 1), since: earliest, until: latest}
	if !q.Since.IsZero() {
		r.since = microseconds(q.Since)
	}
	if !q.Until.IsZero() {
		r.until = microseconds(q.Until.Add(time.Microsecond - 1))
	}
	st.mu.Lock()
	r.end = st.next - 1
	retention := s.effective(st.retention)
	st.mu.Unlock()
	if q.To > 0 && q.To < r.end {
		r.end = q.To
	}
	if retention.MaxAge > 0 {
		r.since = max(r.since, microseconds(s.options.Now().Add(-retention.MaxAge)))
	}
	return r
}

func (r *streamReader) run(visit func(Entry) error) error {
	if r.query.Tail >= 0 {
		if err := r.findTail(r.query.Tail); err != nil {
			return err
		}
	}
	for {
		if err := r.readTo(r.end, visit); err != nil {
			return err
		}
		if !r.query.Follow || r.query.To > 0 && r.end >= r.query.To {
			break
		}
		more, err := r.more()
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	r.store.facts.read(r.block, r.returned, r.decoded)
	return nil
}

// more waits until the stream has more than it had, and moves the end; it is
// false where no more can come.
func (r *streamReader) more() (bool, error) {
	st := r.stream
	for {
		st.mu.Lock()
		last := st.next - 1
		ended := st.appended && st.appenders == 0 || st.ended != nil
		changed := st.wait()
		st.mu.Unlock()
		if r.query.To > 0 {
			last = min(last, r.query.To)
		}
		if last > r.end {
			r.end = last
			return true, nil
		}
		if ended {
			return false, nil
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return false, r.ctx.Err()
		}
	}
}

// readTo visits what there is up to a sequence number.
func (r *streamReader) readTo(end uint64, visit func(Entry) error) error {
	for r.next <= end {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		// What is on disk now is found there, or was dropped.
		r.stream.mu.Lock()
		durable := r.stream.durable
		r.stream.mu.Unlock()
		u, err := r.store.unitAt(r.stream.id, r.next)
		if err != nil {
			return err
		}
		h := u.header
		switch {
		case h != nil && h.first > end:
			return nil
		case h != nil && (r.outside(h) || r.useless != nil && r.useless(h)):
			r.next, r.skip = h.last+1, 0
		case h != nil:
			if err := r.visitUnit(u, end, visit); err != nil {
				return err
			}
		case r.next <= durable:
			r.next, r.skip = durable+1, 0
		default:
			if err := r.visitPending(end, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *streamReader) visitUnit(u unit, end uint64, visit func(Entry) error) error {
	h := u.header
	b, err := r.store.codec.decode(u)
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			return err
		}
		r.store.options.Warn(fmt.Errorf("stream %q, entries %d to %d: %w", r.stream.name, h.first, h.last, err))
		first := max(h.first, r.next)
		r.next, r.skip = h.last+1, 0
		what, at := fmt.Sprintf("entries %d to %d", first, h.last), timeOf(h.since)
		if h.broken {
			what, at = fmt.Sprintf("entries from %d on", first), time.UnixMicro(0)
		}
		return visit(Entry{
			Sequence: first, Time: at, Kind: Stderr, Data: fmt.Appendf(nil, "[%s are missing here: what is stored of them is damaged]\n", what),
		})
	}
	r.decoded += h.data
	r.block = max(r.block, h.data)
	for i := range b.len() {
		if b.sequences[i] < r.next {
			continue
		}
		if b.sequences[i] > end {
			return nil
		}
		if err := r.visit(b.entry(i), visit); err != nil {
			return err
		}
	}
	r.next = h.last + 1
	return nil
}

// visitPending visits entries that are not on disk.
func (r *streamReader) visitPending(end uint64, visit func(Entry) error) error {
	var entries []Entry
	st := r.stream
	st.mu.Lock()
	if r.next > st.durable { // else they have got there meanwhile
		for _, list := range [][]pendingEntry{st.flying, st.pending} {
			for _, e := range list {
				if e.Sequence >= r.next && e.Sequence <= end {
					entries = append(entries, e.Entry)
				}
			}
		}
		if len(entries) == 0 {
			r.next = end + 1 // those before were not written
		}
	}
	st.mu.Unlock()
	for _, e := range entries {
		if err := r.visit(e, visit); err != nil {
			return err
		}
	}
	return nil
}

// visit visits an entry, unless its time is not asked for.
func (r *streamReader) visit(e Entry, visit func(Entry) error) error {
	skip := r.skip
	r.next, r.skip = e.Sequence+1, 0
	if !r.inTime(e.Time) {
		return nil
	}
	if skip > 0 {
		if e.Data = e.Data[min(skip, len(e.Data)):]; len(e.Data) == 0 {
			return nil
		}
	}
	r.returned += uint64(len(e.Data))
	if err := r.ctx.Err(); err != nil {
		return err
	}
	return visit(e)
}

func (r *streamReader) inTime(t time.Time) bool {
	at := microseconds(t)
	return at >= r.since && at < r.until
}

// outside says whether no entry of a unit is in the time that is asked for.
func (r *streamReader) outside(h *header) bool { return h.until < r.since || h.since >= r.until }

// unitAt gives the unit on disk with a sequence number, or the next one; its
// header is nil where there is none. No transaction is open when it returns.
func (s *Store) unitAt(id uint32, sequence uint64) (u unit, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		for _, bucket := range unitBuckets {
			if h, value := unitFrom(tx, bucket, id, sequence); h != nil {
				u = loadUnit(tx, id, h, value)
				return nil
			}
		}
		return nil
	})
	return u, err
}

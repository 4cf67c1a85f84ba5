package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

const (
	// What is appended is written as soon as a stream has flushBytes of it.
	flushBytes = 256 << 10
	// Who appends waits while a stream has so many bytes, or all streams so
	// many, that are not on disk.
	maxPending    = 1 << 20
	maxPendingAll = 8 << 20
	// maxPendingEntries is the same for the entries of a stream.
	maxPendingEntries = 16 << 10
	// After a failure the disk is tried again at first after retryFirst.
	retryFirst = time.Second
	retryLast  = 30 * time.Second
)

// ErrTooLong is returned for an entry whose data is longer than 64 KiB.
// ErrFull is returned when Room leaves none.
var ErrFull = errors.New("the disk has no room for it")

var ErrTooLong = errors.New("an entry has at most 64 KiB")

// Append adds entries to a stream, which is made if it is not there, and
// returns the sequence number of the last. They are on disk when it returns
// without an error; otherwise it is not known whether they are. What several
// append at a time is written at once. The entries' own sequence numbers are
// not looked at.
func (s *Store) Append(ctx context.Context, stream string, entries ...Entry) (last uint64, err error) {
	for _, e := range entries {
		if len(e.Data) > maxData {
			return 0, ErrTooLong
		}
	}
	st, err := s.stream(stream, true)
	if err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	for len(entries) > 0 {
		// All that fits goes at once.
		n, size := 0, 0
		for n < len(entries) && n < maxPendingEntries/2 && size+len(entries[n].Data) <= maxPending {
			size += len(entries[n].Data)
			n++
		}
		if err := s.waitForRoom(ctx, st, size, n); err != nil {
			return 0, err
		}
		st.mu.Lock()
		if st.ended != nil {
			st.mu.Unlock()
			return 0, st.ended
		}
		for _, e := range entries[:n] {
			last = st.add(e.Time, e.Kind, e.Data, true)
		}
		if entries = entries[n:]; len(entries) == 0 {
			st.waiters = append(st.waiters, waiter{last, done})
		}
		st.announce()
		st.mu.Unlock()
		s.note(st, size, true)
	}
	if last == 0 {
		return 0, nil
	}
	select {
	case err := <-done:
		return last, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// add appends a copy of an entry to what is pending. It is called with mu.
func (st *stream) add(at time.Time, kind uint8, data []byte, fleeting bool) uint64 {
	e := Entry{Sequence: st.next, Time: timeOf(microseconds(at)), Kind: kind, Data: append([]byte(nil), data...)}
	st.pending = append(st.pending, pendingEntry{e, fleeting})
	st.held += len(data)
	st.next++
	if len(data) > 0 {
		st.midLine = data[len(data)-1] != '\n'
	}
	return e.Sequence
}

// waitForRoom waits until so many bytes more may be pending.
func (s *Store) waitForRoom(ctx context.Context, st *stream, bytes, entries int) error {
	for {
		s.mu.Lock()
		st.mu.Lock()
		full := st.held > 0 && st.held+bytes > maxPending || s.held > 0 && s.held+bytes > maxPendingAll ||
			len(st.pending)+len(st.flying)+entries > maxPendingEntries
		err := st.ended
		if err == nil && full {
			err = st.failed
		}
		st.mu.Unlock()
		if err == nil && s.damage != nil {
			err = s.damage
		}
		if !full || err != nil {
			s.mu.Unlock()
			return err
		}
		if s.freed == nil {
			s.freed = make(chan struct{})
		}
		freed := s.freed
		s.mu.Unlock()
		s.hurry()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// note tells the committer of bytes that were added to a stream.
func (s *Store) note(st *stream, bytes int, urgent bool) {
	s.mu.Lock()
	st.mu.Lock()
	if !st.queued && len(st.pending) > 0 {
		st.queued = true
		s.dirty = append(s.dirty, st)
	}
	urgent = urgent || st.held >= flushBytes
	st.mu.Unlock()
	s.held += bytes
	first := s.since.IsZero()
	if first {
		s.since = time.Now()
	}
	wake := first || urgent && !s.urgent
	s.urgent = s.urgent || urgent
	s.mu.Unlock()
	if wake {
		poke(s.wake)
	}
}

// hurry has the committer write what there is.
func (s *Store) hurry() {
	s.mu.Lock()
	s.urgent = true
	s.mu.Unlock()
	poke(s.wake)
}

// poke wakes who reads from c.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Appender appends to a stream without waiting for the disk. Its methods may be
// called concurrently.
type Appender struct {
	store  *Store
	stream *stream
	err    error // why there is no stream

	// Under stream.mu.
	closed bool
	lost   int // bytes that were to be written and were not
}

// Appender gives an Appender to a stream, which is made if it is not there. An
// error in that is returned by Write.
func (s *Store) Appender(stream string) *Appender {
	st, err := s.stream(stream, true)
	if err != nil {
		return &Appender{err: err}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.appenders++
	st.appended = true
	return &Appender{store: s, stream: st}
}

// Write adds data to the stream, in pieces of at most 64 KiB. Readers see it
// at once; it is on disk within about Options.FlushDelay. When the disk is slower than
// what is written, Write waits. An error says that the data, or a part of it,
// is lost: the disk did not take what came before. The stream can be written
// to all the same, and tells of what is missing as soon as the disk takes
// something again.
func (a *Appender) Write(at time.Time, kind uint8, data []byte) error {
	if a.err != nil {
		return a.err
	}
	for len(data) > 0 {
		n := min(len(data), maxData)
		if err := a.write(at, kind, data[:n]); err != nil {
			a.stream.mu.Lock()
			a.lost += len(data)
			a.stream.mu.Unlock()
			return fmt.Errorf("stream %q: %w", a.stream.name, err)
		}
		data = data[n:]
	}
	return nil
}

func (a *Appender) write(at time.Time, kind uint8, data []byte) error {
	s, st := a.store, a.stream
	if err := a.recovered(); err != nil {
		return err
	}
	if err := s.waitForRoom(context.Background(), st, len(data), 2); err != nil {
		return err
	}
	st.mu.Lock()
	if err := a.usable(); err != nil {
		st.mu.Unlock()
		return err
	}
	bytes := len(data) + a.tellLost(at)
	st.add(at, kind, data, false)
	st.announce()
	st.mu.Unlock()
	s.note(st, bytes, false)
	return nil
}

// usable is called with mu.
func (a *Appender) usable() error {
	switch {
	case a.closed:
		return fs.ErrClosed
	case a.stream.ended != nil:
		return a.stream.ended
	}
	return nil
}

// recovered gives the error of the last commit that failed, unless trying again
// succeeds; it does so now and then.
func (a *Appender) recovered() error {
	st := a.stream
	st.mu.Lock()
	err, wait := st.failed, time.Until(st.retry)
	st.mu.Unlock()
	if err == nil || wait > 0 {
		return err
	}
	return a.Sync()
}

// tellLost adds a line about what was lost before, if anything was, and gives
// its length. It is called with mu.
func (a *Appender) tellLost(at time.Time) int {
	if a.lost == 0 {
		return 0
	}
	line := fmt.Sprintf("[%d bytes of output are missing here: they could not be logged]\n", a.lost)
	if a.stream.midLine {
		line = "\n" + line
	}
	a.stream.add(at, Stderr, []byte(line), false)
	a.lost = 0
	return len(line)
}

// Sync returns when all that was written to the stream before is on disk, or
// with the error that keeps it from there.
func (a *Appender) Sync() error {
	if a.err != nil {
		return a.err
	}
	s, st := a.store, a.stream
	st.mu.Lock()
	if st.ended != nil {
		st.mu.Unlock()
		return st.ended
	}
	if len(st.pending) == 0 && len(st.flying) == 0 {
		st.mu.Unlock()
		return nil
	}
	done := make(chan error, 1)
	st.waiters = append(st.waiters, waiter{st.next - 1, done})
	st.mu.Unlock()
	s.hurry()
	return <-done
}

// Last is the sequence number of the last entry of the stream, 0 before the
// first.
func (a *Appender) Last() uint64 {
	if a.err != nil {
		return 0
	}
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	return a.stream.next - 1
}

// Close ends the appender: when it is the stream's last, those who follow the
// stream come to its end. What was written is on disk when Close returns nil.
func (a *Appender) Close() error {
	if a.err != nil {
		return nil
	}
	st := a.stream
	st.mu.Lock()
	if a.closed {
		st.mu.Unlock()
		return nil
	}
	a.closed = true
	told := a.tellLost(a.store.options.Now())
	st.mu.Unlock()
	if told > 0 {
		a.store.note(st, told, true)
	}
	err := a.Sync()
	st.mu.Lock()
	st.appenders--
	st.announce()
	st.mu.Unlock()
	if err != nil {
		return fmt.Errorf("stream %q: %w", st.name, err)
	}
	return nil
}

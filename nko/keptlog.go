package nko

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/entroos/entroos/morphzip/store"
)

// ServiceStream is the stream in which the log of a service is kept.
func ServiceStream(service string) string { return "service/" + service }

// BootMark is the kind of an entry that says where a boot's lines begin.
const BootMark uint8 = 3

// serviceRetention bounds a service's log.
var serviceRetention = store.Retention{MaxBytes: 4 << 20}

// keptLog takes the lines of a ring to a stream of a store, in a goroutine of its
// own: the disk may be slow, and PID 1 does not wait for it to log something.
type keptLog struct {
	store    *store.Store
	stream   string
	appender *store.Appender
	done     chan struct{} // closed when the lines of a closed ring are on disk, or cannot be
	err      error         // why they are not; valid when done is closed

	// Under the ring's mu.
	next     uint64        // number of the first line that is not in the stream
	progress chan struct{} // closed and replaced when next rises
}

// Keep has the lines of the ring, those that it has and those to come, kept in a
// stream. Behind what earlier boots have left there, mark, a line, tells where
// this one begins. What the disk does not take is in memory all the same; warn is
// told when that is all.
func (l *LogRing) Keep(s *store.Store, stream, mark string, warn func(error)) {
	k := &keptLog{store: s, stream: stream, done: make(chan struct{}), progress: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept != nil || l.closed {
		return
	}
	l.kept = k
	Go("log "+stream, func() {
		defer k.end(l)
		if k.err = k.begin(mark); k.err == nil {
			k.err = k.follow(l)
		}
		if k.err != nil {
			warn(k.err)
		}
	})
}

// begin opens the stream.
func (k *keptLog) begin(mark string) error {
	earlier := false
	if err := k.store.Read(context.Background(), k.stream, store.Query{Tail: 1}, func(store.Entry) error {
		earlier = true
		return nil
	}); err != nil {
		return err
	}
	if err := k.store.SetRetention(k.stream, serviceRetention); err != nil {
		return err
	}
	k.appender = k.store.Appender(k.stream)
	if earlier && mark != "" {
		k.write(time.Now(), BootMark, []byte(mark))
	}
	return nil
}

// follow takes lines to the stream until the ring is closed. The store tells of
// what the disk does not take, and the stream of what is missing.
func (k *keptLog) follow(l *LogRing) error {
	for {
		l.mu.Lock()
		missed := int64(l.first) - int64(k.next)
		k.next = max(k.next, l.first)
		lines := append([]LogLine(nil), l.lines[k.next-l.first:]...)
		changed, closed := l.changed, l.closed
		l.mu.Unlock()
		if missed > 0 {
			k.write(lines[0].At, store.Stderr, fmt.Appendf(nil, "[%d lines are missing here: the disk was too slow for them]", missed))
		}
		for _, line := range lines {
			kind := store.Stdout
			if line.Stderr {
				kind = store.Stderr
			}
			k.write(line.At, kind, line.Text)
		}
		if len(lines) > 0 {
			l.mu.Lock()
			k.next += uint64(len(lines))
			close(k.progress)
			k.progress = make(chan struct{})
			l.mu.Unlock()
			continue
		}
		if closed {
			return k.appender.Close()
		}
		<-changed
	}
}

// end tells those who wait that there is no more to wait for.
func (k *keptLog) end(l *LogRing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(k.done)
}

func (k *keptLog) write(at time.Time, kind uint8, text []byte) {
	_ = k.appender.Write(at, kind, append(text[:len(text):len(text)], '\n')) // see follow
}

// awaitKept waits while more than half of what the ring holds is not in the
// stream. A ring that is not kept, or is closed, waits for nothing.
func (l *LogRing) awaitKept() {
	for {
		l.mu.Lock()
		k := l.kept
		if k == nil || l.closed || !l.behind(k.next) {
			l.mu.Unlock()
			return
		}
		progress := k.progress
		l.mu.Unlock()
		select {
		case <-progress:
		case <-k.done:
			return
		}
	}
}

// behind says whether the lines from a number on are more than half of what the
// ring may hold. l.mu is held.
func (l *LogRing) behind(next uint64) bool {
	lines := l.lines[min(max(next, l.first), l.end())-l.first:]
	if len(lines) > logRingLines/2 {
		return true
	}
	bytes := 0
	for _, line := range lines {
		bytes += len(line.Text)
	}
	return bytes > logRingBytes/2
}

// Kept waits until all of a closed ring is on disk, and says why it is not.
func (l *LogRing) Kept(ctx context.Context) error {
	l.mu.Lock()
	k := l.kept
	l.mu.Unlock()
	if k == nil {
		return nil
	}
	select {
	case <-k.done:
		return k.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keptPatience is how long a reader waits for the last lines to get to the
// store, before it takes what the memory has.
const keptPatience = time.Second

// caughtUp waits until the lines that the ring has now are in the stream; it is
// false when the disk takes too long.
func (l *LogRing) caughtUp(ctx context.Context, k *keptLog) bool {
	timer := time.NewTimer(keptPatience)
	defer timer.Stop()
	l.mu.Lock()
	want := l.end()
	l.mu.Unlock()
	for {
		l.mu.Lock()
		next, progress := k.next, k.progress
		l.mu.Unlock()
		if next >= want {
			return true
		}
		select {
		case <-progress:
		case <-k.done:
			return true
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// failed says that the stream could not be had, or closed.
func (k *keptLog) failed() bool {
	select {
	case <-k.done:
		return k.err != nil
	default:
		return false
	}
}

// Read calls visit for lines of the log, each with its end, as q asks for: from
// the store, if the log is kept there and the disk gives it, and else from
// memory. A line's data is valid during the call.
func (l *LogRing) Read(ctx context.Context, q store.Query, visit func(store.Entry) error) error {
	l.mu.Lock()
	k := l.kept
	l.mu.Unlock()
	if k == nil || !l.caughtUp(ctx, k) || k.failed() {
		return l.readMemory(ctx, q, visit)
	}
	visited := false
	err := k.store.Read(ctx, k.stream, q, func(e store.Entry) error {
		visited = true
		return visit(e)
	})
	if errors.Is(err, store.ErrDamaged) && !visited {
		return l.readMemory(ctx, q, visit)
	}
	return err
}

// readMemory is Read for the lines in memory. They have no sequence numbers.
func (l *LogRing) readMemory(ctx context.Context, q store.Query, visit func(store.Entry) error) error {
	match := func([]byte) bool { return true }
	if q.Grep != nil {
		var err error
		if match, err = q.Grep.Matcher(); err != nil {
			return err
		}
	}
	wanted := func(line LogLine) bool {
		return (q.Since.IsZero() || !line.At.Before(q.Since)) && (q.Until.IsZero() || line.At.Before(q.Until)) && match(line.Text)
	}
	// The last lines are counted among those that are wanted.
	skip := int64(0)
	if q.Tail >= 0 {
		count := int64(0)
		if err := l.Follow(ctx, false, -1, func(line LogLine) error {
			if wanted(line) {
				count++
			}
			return nil
		}); err != nil {
			return err
		}
		skip = count - q.Tail
	}
	return l.Follow(ctx, q.Follow, -1, func(line LogLine) error {
		if !wanted(line) {
			return nil
		}
		if skip--; skip >= 0 {
			return nil
		}
		e := store.Entry{Time: line.At, Kind: store.Stdout, Data: append(line.Text[:len(line.Text):len(line.Text)], '\n')}
		if line.Stderr {
			e.Kind = store.Stderr
		}
		return visit(e)
	})
}

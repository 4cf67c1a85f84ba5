// Package logfile keeps what a container writes: every byte, when and to which
// stream it was written, bounded by dropping the oldest.
//
// A log is a directory of up to two files, previous and current, each a
// sequence of records:
//
//	8 bytes   time, nanoseconds since 1970 (UTC), big-endian
//	1 byte    stream: 1 is stdout, 2 is stderr
//	4 bytes   n, the length of the data, big-endian, at most 65536
//	n bytes   the data, as written
//	4 bytes   n again, so that a file can be read backwards
//
// When current has grown to half the log's bound it becomes previous. A record
// cut short by a power cut ends the log; the next writer cuts it off.
//
// What the disk does not take is lost, and the log goes on as soon as it takes
// something again, with a line on stderr that says how much is missing there.
package logfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/entroos/entroos/runtime/space"
)

// Stream is the output that an entry was written to.
type Stream uint8

// The streams. With a terminal, all is Stdout.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

const (
	headerSize  = 13
	trailerSize = 4
	// maxData is the longest data of one record.
	maxData = 64 << 10

	currentName  = "current"
	previousName = "previous"
	nextPattern  = "next-*" // what is to become current
)

// Entry is a piece of output. It is what one read gave: it may hold several
// lines, or a part of one.
type Entry struct {
	Time   time.Time
	Stream Stream
	Data   []byte
}

// Log is a log that is being written. Its methods may be called concurrently.
type Log struct {
	dir   string
	bound int64 // of current

	mu         sync.Mutex
	file       *os.File // current; nil when closed
	size       int64
	begin      int64         // the size at Open
	gap        bool          // something was lost since
	generation int           // how often current was replaced
	changed    chan struct{} // closed and replaced at every change
	midLine    bool          // the last entry did not end with a newline
	lost       int           // bytes that were to be logged after it, and were not
	room       int64         // bytes that may be written before the disk is looked at again
	closeErr   error         // of files that were current
}

// Open opens the log in dir for writing, and makes it if it is not there. It
// holds at most about bound bytes.
func Open(dir string, bound int64) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := removeUnfinished(dir); err != nil {
		return nil, fmt.Errorf("log %s: %w", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, currentName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := validSize(f)
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("log %s: %w", dir, err)
	}
	return &Log{dir: dir, bound: bound / 2, file: f, size: size, begin: size, changed: make(chan struct{})}, nil
}

// removeUnfinished deletes what rotations that a power cut ended have left.
func removeUnfinished(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, nextPattern))
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// Append adds what was written to a stream. What an error keeps out of the log
// is lost; the log can be appended to all the same, and tells of the gap then.
func (l *Log) Append(at time.Time, stream Stream, data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return fs.ErrClosed
	}
	err := l.tellLost(at)
	for err == nil && len(data) > 0 {
		n := min(len(data), maxData)
		if err = l.write(at, stream, data[:n]); err == nil {
			data = data[n:]
		}
	}
	l.lost += len(data)
	l.gap = l.gap || len(data) > 0
	return err
}

// tellLost writes a line about what was lost before, if anything was.
func (l *Log) tellLost(at time.Time) error {
	if l.lost == 0 {
		return nil
	}
	line := fmt.Sprintf("[%d bytes of output are missing here: they could not be logged]\n", l.lost)
	if l.midLine {
		line = "\n" + line
	}
	if err := l.write(at, Stderr, []byte(line)); err != nil {
		return err
	}
	l.lost = 0
	return nil
}

// write adds a record. An error leaves no part of it.
func (l *Log) write(at time.Time, stream Stream, data []byte) error {
	record := make([]byte, 0, headerSize+len(data)+trailerSize)
	record = binary.BigEndian.AppendUint64(record, uint64(at.UnixNano()))
	record = append(record, byte(stream))
	record = binary.BigEndian.AppendUint32(record, uint32(len(data)))
	record = append(record, data...)
	record = binary.BigEndian.AppendUint32(record, uint32(len(data)))

	if err := l.need(int64(len(record))); err != nil {
		return err
	}
	if l.size > 0 && l.size+int64(len(record)) > l.bound {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	if _, err := l.file.WriteAt(record, l.size); err != nil {
		// A full disk may have taken a part.
		return errors.Join(err, l.file.Truncate(l.size))
	}
	l.size += int64(len(record))
	l.midLine = data[len(data)-1] != '\n'
	l.announce()
	return nil
}

// roomStep is how much is written at most between two looks at the disk, in
// bytes.
const roomStep = 1 << 20

// need fails when so many bytes more would touch what the disk keeps for the
// box itself.
func (l *Log) need(bytes int64) error {
	if l.room -= bytes; l.room >= 0 {
		return nil
	}
	free, err := space.Available(l.dir)
	if err != nil {
		return err
	}
	if l.room = min(roomStep, free.Bytes) - bytes; l.room < 0 {
		return space.ErrFull
	}
	return nil
}

// rotate makes current previous, and an empty file current. When it fails, it
// can be tried again.
func (l *Log) rotate() error {
	next, err := os.CreateTemp(l.dir, nextPattern)
	if err != nil {
		return err
	}
	current := filepath.Join(l.dir, currentName)
	err = os.Rename(current, filepath.Join(l.dir, previousName))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		// Where there is no current, it has become previous in an attempt
		// that failed after that.
		err = os.Rename(next.Name(), current)
	}
	if err != nil {
		next.Close()
		return errors.Join(err, os.Remove(next.Name()))
	}
	// Whether the old file is whole says nothing about the new one: Close
	// reports it.
	l.closeErr = errors.Join(l.closeErr, l.file.Close())
	l.file, l.size = next, 0
	l.generation++
	return nil
}

func (l *Log) announce() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Close ends the log: those who follow it come to its end. What was written is
// on disk when Close returns nil.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.tellLost(time.Now()), l.file.Sync(), l.file.Close(), l.closeErr)
	if l.generation > 0 {
		err = errors.Join(err, syncFile(filepath.Join(l.dir, previousName)))
	}
	l.file = nil
	l.announce()
	return err
}

// syncFile has the disk take what was written to a file.
func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// position is a reader's place in a log that is being written: how far it may
// read in the file of which generation, until changed is closed.
type position struct {
	generation int
	size       int64
	closed     bool
	changed    <-chan struct{}
}

func (l *Log) position() position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return position{l.generation, l.size, l.file == nil, l.changed}
}

// open opens the files of a log, previous first; those that are not there are
// left out. Under a writer, they are those of the generation given with them.
func (l *Log) open() ([]*os.File, position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	files, err := openFiles(l.dir)
	return files, position{l.generation, l.size, l.file == nil, l.changed}, err
}

func openFiles(dir string) ([]*os.File, error) {
	var files []*os.File
	for _, name := range []string{previousName, currentName} {
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			closeFiles(files)
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close() // only read from
	}
}

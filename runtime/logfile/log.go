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
package logfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
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
	generation int           // how often current was replaced
	changed    chan struct{} // closed and replaced at every change
}

// Open opens the log in dir for writing, and makes it if it is not there. It
// holds at most about bound bytes.
func Open(dir string, bound int64) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, currentName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := validSize(f)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("log %s: %w", dir, err)
	}
	return &Log{dir: dir, bound: bound / 2, file: f, size: size, changed: make(chan struct{})}, nil
}

// Append adds what was written to a stream. An error leaves no part of it.
func (l *Log) Append(at time.Time, stream Stream, data []byte) error {
	for len(data) > 0 {
		n := min(len(data), maxData)
		if err := l.append(at, stream, data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (l *Log) append(at time.Time, stream Stream, data []byte) error {
	record := make([]byte, 0, headerSize+len(data)+trailerSize)
	record = binary.BigEndian.AppendUint64(record, uint64(at.UnixNano()))
	record = append(record, byte(stream))
	record = binary.BigEndian.AppendUint32(record, uint32(len(data)))
	record = append(record, data...)
	record = binary.BigEndian.AppendUint32(record, uint32(len(data)))

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return fs.ErrClosed
	}
	if l.size > 0 && l.size+int64(len(record)) > l.bound {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	if _, err := l.file.Write(record); err != nil {
		// A full disk may have taken a part.
		_, seekErr := l.file.Seek(l.size, io.SeekStart)
		return errors.Join(err, l.file.Truncate(l.size), seekErr)
	}
	l.size += int64(len(record))
	l.announce()
	return nil
}

func (l *Log) rotate() error {
	next, err := os.CreateTemp(l.dir, "next-")
	if err != nil {
		return err
	}
	current := filepath.Join(l.dir, currentName)
	err = os.Rename(current, filepath.Join(l.dir, previousName))
	if err == nil {
		err = os.Rename(next.Name(), current)
	}
	if err != nil {
		next.Close()
		return errors.Join(err, os.Remove(next.Name()))
	}
	err = l.file.Close()
	l.file, l.size = next, 0
	l.generation++
	return err
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
	err := l.file.Sync()
	if closeErr := l.file.Close(); err == nil {
		err = closeErr
	}
	l.file = nil
	l.announce()
	return err
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

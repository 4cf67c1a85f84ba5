package store

import (
	"context"
	"io"
	"os"
	"path/filepath"
)

// spool is a temporary file beside the store's. It has no name, so that nothing
// is left of it when the power is cut.
type spool struct {
	*os.File
	size   int64
	buffer []byte // what is not in the file yet
	room   func(int64) error
}

// spoolBuffer is how much is written at once, in bytes.
const spoolBuffer = 256 << 10

func (s *Store) newSpool() (*spool, error) {
	f, err := os.CreateTemp(filepath.Dir(s.db.Path()), ".spool-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close() // the error before it says more
		return nil, err
	}
	return &spool{File: f, room: s.spoolRoom}, nil
}

// spoolRoom fails where a spool must not grow by so many bytes.
func (s *Store) spoolRoom(bytes int64) error {
	if s.options.Room == nil {
		return nil
	}
	free, err := s.options.Room()
	if err == nil && free < bytes {
		err = ErrFull
	}
	return err
}

// spool keeps what r gives.
func (s *Store) spool(r io.Reader) (*spool, error) {
	f, err := s.newSpool()
	if err != nil {
		return nil, err
	}
	if _, err = f.ReadFrom(r); err == nil {
		err = f.flush()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Write appends to the file.
func (f *spool) Write(p []byte) (int, error) {
	f.buffer = append(f.buffer, p...)
	f.size += int64(len(p))
	if len(f.buffer) < spoolBuffer {
		return len(p), nil
	}
	return len(p), f.flush()
}

// ReadFrom is that of Write.
func (f *spool) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{f}, r)
}

func (f *spool) flush() error {
	if err := f.room(int64(len(f.buffer))); err != nil {
		return err
	}
	if _, err := f.File.WriteAt(f.buffer, f.size-int64(len(f.buffer))); err != nil {
		return err
	}
	f.buffer = f.buffer[:0]
	return nil
}

// ReadAt reads what was written.
func (f *spool) ReadAt(p []byte, at int64) (int, error) {
	if len(f.buffer) > 0 {
		if err := f.flush(); err != nil {
			return 0, err
		}
	}
	return f.File.ReadAt(p, at)
}

// reader reads the file from its beginning.
func (f *spool) reader() *io.SectionReader { return io.NewSectionReader(f, 0, f.size) }

// contextReader ends with its context.
type contextReader struct {
	context.Context
	r io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

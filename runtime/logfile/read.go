package logfile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Read calls visit for the entries of the log in dir, which nobody is writing,
// from its last tail lines on; a negative tail is all of it. An entry's data
// is valid during the call only. The log is empty when it is not there.
func Read(ctx context.Context, dir string, tail int64, visit func(Entry) error) error {
	files, err := openFiles(dir)
	if err != nil {
		return err
	}
	defer closeFiles(files)
	_, err = readFrom(ctx, files, tail, -1, visit)
	return err
}

// Read is like the function Read, for a log that is being written. With follow
// it goes on with what is written later, until the log is closed or ctx ends.
func (l *Log) Read(ctx context.Context, tail int64, follow bool, visit func(Entry) error) error {
	files, at, err := l.open()
	if err != nil {
		return err
	}
	defer func() { closeFiles(files) }()
	end, err := readFrom(ctx, files, tail, at.size, visit)
	for err == nil && follow {
		now := l.position()
		limit := now.size
		if now.generation != at.generation {
			limit = -1 // our file is complete
		}
		current := files[len(files)-1]
		if end, err = readRange(ctx, current, end, limit, visit); err != nil {
			return err
		}
		if now.generation != at.generation {
			// More than one file behind, what lies between is gone.
			at = now
			next, err := l.next(&at)
			if err != nil {
				return err
			}
			closeFiles(files)
			files, end = []*os.File{next}, 0
			continue
		}
		if now.closed {
			return nil
		}
		select {
		case <-now.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// next opens the current file, and sets at to its generation.
func (l *Log) next(at *position) (*os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at.generation = l.generation
	return os.Open(filepath.Join(l.dir, currentName))
}

// readFrom visits the last tail lines of files, the last of which is read up to
// limit, or to its end when limit is negative. It gives where it stopped.
func readFrom(ctx context.Context, files []*os.File, tail, limit int64, visit func(Entry) error) (end int64, err error) {
	if len(files) == 0 {
		return 0, nil
	}
	start := start{}
	if tail >= 0 {
		if start, err = findTail(files, tail, limit); err != nil {
			return 0, err
		}
	}
	for i, f := range files {
		fileLimit := int64(-1)
		if i == len(files)-1 {
			fileLimit = limit
		}
		if i < start.file {
			continue
		}
		var from int64
		skip := 0
		if i == start.file {
			from, skip = start.offset, start.skip
		}
		end, err = readRange(ctx, f, from, fileLimit, func(e Entry) error {
			if skip > 0 {
				if e.Data, skip = e.Data[skip:], 0; len(e.Data) == 0 {
					return nil
				}
			}
			return visit(e)
		})
		if err != nil {
			return 0, err
		}
	}
	return end, nil
}

// readRange visits the records of f between two offsets; a negative limit is
// its end. It gives the offset behind the last whole record.
func readRange(ctx context.Context, f *os.File, from, limit int64, visit func(Entry) error) (end int64, err error) {
	if limit < 0 {
		info, err := f.Stat()
		if err != nil {
			return from, err
		}
		limit = info.Size()
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, limit-from), maxData)
	buffer := make([]byte, maxData+trailerSize)
	for end = from; ; {
		if err := ctx.Err(); err != nil {
			return end, err
		}
		e, n, err := readRecord(r, buffer)
		if errors.Is(err, errTorn) {
			return end, nil
		}
		if err != nil {
			return end, err
		}
		if err := visit(e); err != nil {
			return end, err
		}
		end += n
	}
}

// errTorn ends a file: no whole record follows.
var errTorn = errors.New("no whole record")

func readRecord(r io.Reader, buffer []byte) (e Entry, size int64, err error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return e, 0, tornIfEnd(err)
	}
	n := binary.BigEndian.Uint32(header[9:])
	e.Time = time.Unix(0, int64(binary.BigEndian.Uint64(header[:])))
	e.Stream = Stream(header[8])
	if n > maxData || n == 0 || e.Stream != Stdout && e.Stream != Stderr {
		return e, 0, errTorn
	}
	rest := buffer[:n+trailerSize]
	if _, err := io.ReadFull(r, rest); err != nil {
		return e, 0, tornIfEnd(err)
	}
	if binary.BigEndian.Uint32(rest[n:]) != n {
		return e, 0, errTorn
	}
	e.Data = rest[:n]
	return e, headerSize + int64(n) + trailerSize, nil
}

func tornIfEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

// validSize is how much of f, from its beginning, is whole records. That its
// end looks like one says nothing about what is before.
func validSize(f *os.File) (int64, error) {
	return readRange(context.Background(), f, 0, -1, func(Entry) error { return nil })
}

// recordBefore gives the record that ends at an offset, and its own offset.
func recordBefore(f *os.File, end int64) (e Entry, offset int64, err error) {
	var trailer [trailerSize]byte
	if end < headerSize+trailerSize {
		return e, 0, errTorn
	}
	if _, err := f.ReadAt(trailer[:], end-trailerSize); err != nil {
		return e, 0, tornIfEnd(err)
	}
	size := headerSize + int64(binary.BigEndian.Uint32(trailer[:])) + trailerSize
	if size > headerSize+maxData+trailerSize || size > end {
		return e, 0, errTorn
	}
	offset = end - size
	e, n, err := readRecord(io.NewSectionReader(f, offset, size), make([]byte, maxData+trailerSize))
	if err == nil && n != size {
		err = errTorn
	}
	return e, offset, err
}

// start is where a tail begins: skip bytes into the data of the record at
// offset in one of the files.
type start struct {
	file   int
	offset int64
	skip   int
}

// findTail goes backwards until it has passed the given number of lines. A
// last line without a newline counts.
func findTail(files []*os.File, lines, limit int64) (start, error) {
	need := lines
	first := true
	for i := len(files) - 1; i >= 0; i-- {
		end := limit
		if i < len(files)-1 || limit < 0 {
			var err error
			if end, err = validSize(files[i]); err != nil {
				return start{}, err
			}
		}
		if lines == 0 {
			return start{file: i, offset: end}, nil
		}
		for end > 0 {
			e, offset, err := recordBefore(files[i], end)
			if err != nil {
				return start{}, fmt.Errorf("%s: %w", files[i].Name(), errors.Join(err, fs.ErrInvalid))
			}
			data := e.Data
			if first && bytes.HasSuffix(data, []byte("\n")) {
				data = data[:len(data)-1] // it ends the last line, and begins none
			}
			first = false
			for n := bytes.Count(data, []byte("\n")); n > 0; n-- {
				at := bytes.LastIndexByte(data, '\n')
				if need--; need == 0 {
					return start{file: i, offset: offset, skip: at + 1}, nil
				}
				data = data[:at]
			}
			end = offset
		}
	}
	return start{}, nil
}

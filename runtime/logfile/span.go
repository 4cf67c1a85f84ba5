package logfile

import (
	"context"
	"errors"
	"fmt"
)

// Span is the part of a log that one writer has written, from Open to Close.
type Span struct {
	rotated bool  // its beginning is in previous
	from    int64 // where
}

// ErrSpan says that a span's beginning is not kept any more.
var ErrSpan = errors.New("the log is not whole any more")

// Span gives what was written since Open; it is not whole when its beginning was
// dropped, or the disk did not take all of it.
func (l *Log) Span() (s Span, whole bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Span{rotated: l.generation > 0, from: l.begin}, l.generation <= 1 && !l.gap
}

// ReadSpan calls visit for the entries of a span of the log in dir, to which
// nobody has written since. An entry's data is valid during the call only.
func ReadSpan(ctx context.Context, dir string, s Span, visit func(Entry) error) error {
	files, err := openFiles(dir)
	if err != nil {
		return err
	}
	defer closeFiles(files)
	need := 1
	if s.rotated {
		need = 2
	}
	if len(files) < need {
		return fmt.Errorf("log %s: %w", dir, ErrSpan)
	}
	from := s.from
	for _, f := range files[len(files)-need:] {
		if _, err := readRange(ctx, f, from, -1, visit); err != nil {
			return err
		}
		from = 0
	}
	return nil
}

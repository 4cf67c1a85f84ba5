package morphzip

import (
	"errors"
	"fmt"
	"io"
)

// What can be wrong with a file.
var (
	// ErrFormat: these bytes are no morphzip file.
	ErrFormat = errors.New("not a morphzip file")
	// ErrVersion: the file's format, or a block's method, is of a newer program.
	ErrVersion = errors.New("made by a newer version of morphzip")
	// ErrCorrupt: bytes are damaged. Recover saves the blocks that are intact.
	ErrCorrupt = errors.New("damaged; `mz recover` saves its intact blocks")
	// ErrTruncated: the end is missing. It is also an io.ErrUnexpectedEOF.
	ErrTruncated error = truncated{}
	// ErrTrailing: a whole file is followed by bytes that are not morphzip's.
	ErrTrailing = errors.New("followed by bytes that are no morphzip file")
	// ErrTooLarge: a block is larger than the caller allows.
	ErrTooLarge = errors.New("the block is larger than allowed")
)

type truncated struct{}

func (truncated) Error() string { return "cut short; `mz recover` saves its intact blocks" }

func (truncated) Is(err error) bool { return err == io.ErrUnexpectedEOF }

// corrupt is an ErrCorrupt that says where.
func corrupt(format string, a ...any) error {
	return fmt.Errorf("morphzip: %s: %w", fmt.Sprintf(format, a...), ErrCorrupt)
}

func errFormat() error { return fmt.Errorf("morphzip: %w", ErrFormat) }

func errVersion(v byte) error {
	return fmt.Errorf("morphzip: the format's version is %d, this program reads %d: %w", v, version, ErrVersion)
}

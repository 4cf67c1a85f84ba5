// Package space says how much of the data partition may be filled. Images,
// containers and logs end before the box itself lacks the room to write what
// it must: its records and its ledger.
package space

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrFull is returned for what would fill the data partition.
var ErrFull = errors.New("the data partition has no room for it; " +
	"`images prune` removes the images that no container uses, `rm` a container with its files and its log")

// The reserve is the larger of so many bytes and this part of the file system.
const (
	minReserve  = 64 << 20
	reservePart = 20
)

// Free is what may still be written; negative when the reserve is touched.
type Free struct {
	Bytes int64
	Files int64
}

// Available is what may still be written to dir's file system. Root may write
// more, both what ext4 keeps for it and the box's reserve: this package is there
// so that it does not.
func Available(dir string) (Free, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Free{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return available(&s), nil
}

func available(s *unix.Statfs_t) Free {
	reserve := max(minReserve, int64(s.Blocks)/reservePart*s.Bsize)
	f := Free{Bytes: min(int64(s.Bavail)*s.Bsize, int64(s.Bfree)*s.Bsize-reserve), Files: 1 << 40}
	if s.Files != 0 { // or else the file system does not count them
		f.Files = int64(s.Ffree) - int64(s.Files)/reservePart
	}
	return f
}

// Check returns ErrFull when so many bytes and files more would touch the
// reserve.
func Check(dir string, bytes, files int64) error {
	free, err := Available(dir)
	if err != nil {
		return err
	}
	if free.Bytes < bytes || free.Files < files {
		return ErrFull
	}
	return nil
}

// Left is what may still be written to dir's file system, in bytes; where that is
// less than a mebibyte, it returns ErrFull.
func Left(dir string) (int64, error) {
	const least = 1 << 20
	free, err := Available(dir)
	if err != nil {
		return 0, err
	}
	if free.Bytes < least {
		return 0, ErrFull
	}
	return free.Bytes, nil
}

// Explain gives an error that is about a full disk the way out.
func Explain(err error) error {
	if (errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)) && !errors.Is(err, ErrFull) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

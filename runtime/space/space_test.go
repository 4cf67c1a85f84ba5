package space

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// TestReserve has file systems of all sizes, as full as can be.
func TestReserve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := unix.Statfs_t{Bsize: 4096, Blocks: rapid.Uint64Range(0, 1<<32).Draw(t, "blocks")}
		s.Bfree = rapid.Uint64Range(0, s.Blocks).Draw(t, "free")
		s.Bavail = rapid.Uint64Range(0, s.Bfree).Draw(t, "for users")
		free := available(&s)
		left := int64(s.Bfree)*s.Bsize - free.Bytes // when all that may be written is
		if left < minReserve || left < int64(s.Blocks)/reservePart*s.Bsize {
			t.Fatalf("%d bytes would be left of %d", left, int64(s.Blocks)*s.Bsize)
		}
		if free.Bytes > int64(s.Bavail)*s.Bsize {
			t.Fatalf("%d bytes, of which users have %d", free.Bytes, int64(s.Bavail)*s.Bsize)
		}
	})
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	if err := Check(dir, 0, 0); err != nil {
		t.Skip("this machine is full: ", err)
	}
	if err := Check(dir, 1<<60, 0); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if err := Check(dir, 0, 1<<60); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if err := Check(dir+"/missing", 0, 0); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
}

func TestExplain(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EDQUOT} {
		if err := Explain(fmt.Errorf("write: %w", errno)); !errors.Is(err, ErrFull) || !errors.Is(err, errno) {
			t.Error(err)
		}
	}
	if err := Explain(unix.EIO); errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if err := Explain(nil); err != nil {
		t.Error(err)
	}
}

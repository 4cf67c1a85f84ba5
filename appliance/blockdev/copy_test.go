package blockdev

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

// stick is a disk in memory that may lie: it loses what is written from some
// place on, as forged ones do.
type stick struct {
	memory
	lost int64 // from this byte on; 0 is none
}

func (s *stick) WriteAt(p []byte, at int64) (int, error) {
	if s.lost > 0 && at+int64(len(p)) > s.lost {
		return len(p), nil
	}
	return s.memory.WriteAt(p, at)
}

func (s *stick) Zero(offset, size int64) error {
	_, err := s.WriteAt(make([]byte, size), offset)
	return err
}

func (s *stick) Forget() error { return nil }

func TestCopyReadsBack(t *testing.T) {
	content := append(bytes.Repeat([]byte("EntroOS!"), 3*mib/8), make([]byte, 2*mib+512)...)
	for _, lost := range []int64{0, 3 * mib} {
		target := &stick{memory: memory{content: bytes.Repeat([]byte{0xee}, 8*mib), left: -1}, lost: lost}
		var steps []string
		c := &Copier{Target: target, Progress: func(step string, done, total int64) {
			if done == total {
				steps = append(steps, step)
			}
		}}
		part := Part{Name: "it", Offset: mib, Size: int64(len(content)), Content: bytes.NewReader(content)}
		if err := c.Copy(t.Context(), part); err != nil {
			t.Fatal(err)
		}
		err := c.Verify(t.Context())
		if lost == 0 {
			if err != nil || !bytes.Equal(target.content[mib:mib+len(content)], content) || target.content[mib+len(content)] != 0xee {
				t.Errorf("a good disk: %v", err)
			}
			if strings.Join(steps, ", ") != "writing it, reading back it" {
				t.Errorf("steps %q", steps)
			}
		} else if !errors.Is(err, ErrVerify) {
			t.Errorf("a forged disk: %v", err)
		}
	}
}

func TestCopyStops(t *testing.T) {
	target := &stick{memory: memory{content: make([]byte, 4*mib), left: -1}}
	c := &Copier{Target: target}
	if err := c.Copy(t.Context(), Part{Name: "it", Size: 2 * mib, Content: bytes.NewReader(make([]byte, mib))}); err == nil {
		t.Error("content that ends too soon was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Copy(ctx, Part{Name: "it", Size: mib, Content: bytes.NewReader(make([]byte, mib))}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

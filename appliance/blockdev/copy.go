package blockdev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// chunkSize is how much is copied at once, in bytes.
const chunkSize = 1 << 20

// Target is a disk that parts are copied to.
type Target interface {
	Disk
	// Zero makes a range read as zeroes, faster than writing them.
	Zero(offset, size int64) error
	// Forget makes the next reads come from the medium, not from memory.
	Forget() error
}

// Part is what is copied to one place of a disk.
type Part struct {
	Name    string // in plain words, e.g. "the EFI system partition"
	Offset  int64  // bytes
	Size    int64  // bytes
	Content io.Reader
	// Change alters what is copied, a chunk that begins that far within the
	// part; nil leaves it.
	Change func(offset int64, chunk []byte) error
}

// ErrVerify says that a disk does not read back what was written to it.
var ErrVerify = errors.New("the disk does not give back what was written to it")

// Copier copies parts to a disk, and then reads all of them back.
type Copier struct {
	Target Target
	// Progress is told of each step, in plain words, and how far it is; nil is
	// for silence.
	Progress func(step string, done, total int64)

	sums []partSums
}

// partSums is what one part must read back as.
type partSums struct {
	Part
	sums []uint32 // of each chunk
}

// Copy copies the parts in their order and returns when they are on the medium.
// What they hold between them is not touched.
func (c *Copier) Copy(ctx context.Context, parts ...Part) error {
	chunk := make([]byte, chunkSize)
	for _, p := range parts {
		written := partSums{Part: p}
		for done := int64(0); done < p.Size; {
			if err := ctx.Err(); err != nil {
				return err
			}
			c.tell("writing "+p.Name, done, p.Size)
			b := chunk[:min(chunkSize, p.Size-done)]
			if _, err := io.ReadFull(p.Content, b); err != nil {
				return fmt.Errorf("%s, at byte %d of %d: %w", p.Name, done, p.Size, err)
			}
			if p.Change != nil {
				if err := p.Change(done, b); err != nil {
					return fmt.Errorf("%s: %w", p.Name, err)
				}
			}
			if err := c.put(p.Offset+done, b); err != nil {
				return fmt.Errorf("writing %s: %w", p.Name, err)
			}
			written.sums = append(written.sums, crc32.Checksum(b, castagnoli))
			done += int64(len(b))
		}
		written.Content, written.Change = nil, nil
		c.sums = append(c.sums, written)
		if err := c.Target.Sync(); err != nil {
			return fmt.Errorf("writing %s: %w", p.Name, err)
		}
		c.tell("writing "+p.Name, p.Size, p.Size)
	}
	return nil
}

// put writes a chunk; of zeroes, in the disk's own way.
func (c *Copier) put(offset int64, b []byte) error {
	if zeroes(b) {
		if err := c.Target.Zero(offset, int64(len(b))); err == nil {
			return nil
		}
		// Not every disk can; all can be written to.
	}
	_, err := c.Target.WriteAt(b, offset)
	return err
}

// Verify reads back from the medium all that was copied; ErrVerify says where
// it differs.
func (c *Copier) Verify(ctx context.Context) error {
	if err := c.Target.Forget(); err != nil {
		return fmt.Errorf("reading back: %w", err)
	}
	chunk := make([]byte, chunkSize)
	for _, p := range c.sums {
		for i, sum := range p.sums {
			if err := ctx.Err(); err != nil {
				return err
			}
			done := int64(i) * chunkSize
			c.tell("reading back "+p.Name, done, p.Size)
			b := chunk[:min(chunkSize, p.Size-done)]
			if _, err := c.Target.ReadAt(b, p.Offset+done); err != nil {
				return fmt.Errorf("reading back %s: %w", p.Name, err)
			}
			if crc32.Checksum(b, castagnoli) != sum {
				return fmt.Errorf("%w: %s differs within the MiB at byte %d of the disk; it is broken or smaller than it says",
					ErrVerify, p.Name, p.Offset+done)
			}
		}
		c.tell("reading back "+p.Name, p.Size, p.Size)
	}
	return nil
}

func (c *Copier) tell(step string, done, total int64) {
	if c.Progress != nil {
		c.Progress(step, done, total)
	}
}

// zeroes says that there is nothing but zeroes.
func zeroes(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(zeroBlock))
		if !bytes.Equal(b[:n], zeroBlock[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

var zeroBlock [32 << 10]byte

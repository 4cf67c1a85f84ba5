package oci

import "github.com/entroos/entroos/runtime/space"

// blockSize is what the data partition gives space out in, in bytes.
const blockSize = 4096

// blocks is what so many bytes take on the disk.
func blocks(bytes int64) int64 { return (bytes + blockSize - 1) / blockSize * blockSize }

// room is what an import may write. Others write meanwhile, so it looks again
// at what the disk has as it goes.
type room struct {
	dir       string
	left      space.Free
	unchecked int64 // bytes written since it last looked
}

// checkEvery is how much may be written between two looks, in bytes.
const checkEvery = 8 << 20

func newRoom(dir string) (*room, error) {
	r := &room{dir: dir}
	return r, r.look()
}

func (r *room) look() (err error) {
	r.left, err = space.Available(r.dir)
	r.unchecked = 0
	return err
}

// need fails when there is no room for a file, before it is written.
func (r *room) need(bytes int64) error {
	if bytes > r.left.Bytes || r.left.Files < 1 {
		return ErrNoSpace
	}
	return nil
}

// wrote takes what was written off the room.
func (r *room) wrote(bytes, files int64) error {
	r.left.Bytes -= bytes
	r.left.Files -= files
	if r.unchecked += bytes + files*blockSize; r.unchecked > checkEvery {
		if err := r.look(); err != nil {
			return err
		}
	}
	if r.left.Bytes < 0 || r.left.Files < 0 {
		return ErrNoSpace
	}
	return nil
}

// Write counts what is written beside it.
func (r *room) Write(p []byte) (int, error) {
	if err := r.wrote(int64(len(p)), 0); err != nil {
		return 0, err
	}
	return len(p), nil
}

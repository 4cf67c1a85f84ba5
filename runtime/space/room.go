package space

// blockSize is what the data partition gives space out in, in bytes.
const blockSize = 4096

// Blocks is what so many bytes take on the disk.
func Blocks(bytes int64) int64 { return (bytes + blockSize - 1) / blockSize * blockSize }

// Room is what a larger piece of work may write. Others write meanwhile, so it
// looks again at what the disk has as it goes. It is for one goroutine.
type Room struct {
	dir       string
	left      Free
	unchecked int64 // bytes written since it last looked
}

// checkEvery is how much may be written between two looks, in bytes.
const checkEvery = 8 << 20

// NewRoom makes a Room on dir's file system.
func NewRoom(dir string) (*Room, error) {
	r := &Room{dir: dir}
	return r, r.Look()
}

// Look looks at what the disk has now.
func (r *Room) Look() (err error) {
	r.left, err = Available(r.dir)
	r.unchecked = 0
	return err
}

// Need returns ErrFull when there is no room for a file, before it is written.
func (r *Room) Need(bytes int64) error {
	if bytes > r.left.Bytes || r.left.Files < 1 {
		return ErrFull
	}
	return nil
}

// Wrote takes what was written off the room, and returns ErrFull when that was
// the last.
func (r *Room) Wrote(bytes, files int64) error {
	r.left.Bytes -= bytes
	r.left.Files -= files
	if r.unchecked += bytes + files*blockSize; r.unchecked > checkEvery {
		if err := r.Look(); err != nil {
			return err
		}
	}
	if r.left.Bytes < 0 || r.left.Files < 0 {
		return ErrFull
	}
	return nil
}

// Write counts what is written beside it.
func (r *Room) Write(p []byte) (int, error) {
	if err := r.Wrote(int64(len(p)), 0); err != nil {
		return 0, err
	}
	return len(p), nil
}

package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// execFIFO is the file in runc's state by which a created container is held:
// its first process opens it for writing, which waits for a reader, writes a
// byte, and executes its program.
const execFIFO = "exec.fifo"

// release does what `runc start` does, which costs the start of another
// process: it reads the byte and removes the file.
func (c *Container) release(ctx context.Context) error {
	name := filepath.Join(c.runtime.state(), c.id, execFIFO)
	// Opening does not wait for the writer; polling does, since a FIFO that
	// had no writer since it was opened is not at its end.
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	const pause = 100 // milliseconds after which ctx is looked at
	wait := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(c.pidfd.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(wait, pause)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("poll: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if n > 0 {
			break
		}
	}
	buffer := make([]byte, 8)
	if n, err := unix.Read(fd, buffer); err != nil || n == 0 {
		return errors.Join(errors.New("its first process has ended"), err)
	}
	return os.Remove(name)
}

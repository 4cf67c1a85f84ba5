package main

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// errInterrupted is what a Read ended by interrupt returns.
var errInterrupted = errors.New("reading was interrupted")

// interruptibleReader reads a file so that a waiting Read can be ended: what
// is typed after a command's end must go to the console, not to that command.
// Readers that are no files are read as they are.
type interruptibleReader struct {
	io.Reader
	file *os.File
	wake [2]*os.File // a pipe: its reading end is polled beside file

	once sync.Once
}

func newInterruptibleReader(r io.Reader) (*interruptibleReader, error) {
	in := &interruptibleReader{Reader: r}
	file, ok := r.(*os.File)
	if !ok {
		return in, nil
	}
	reading, writing, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	in.file, in.wake = file, [2]*os.File{reading, writing}
	return in, nil
}

func (in *interruptibleReader) Read(p []byte) (int, error) {
	if in.file == nil {
		return in.Reader.Read(p)
	}
	fds := []unix.PollFd{
		{Fd: int32(in.file.Fd()), Events: unix.POLLIN},
		{Fd: int32(in.wake[0].Fd()), Events: unix.POLLIN},
	}
	for {
		_, err := unix.Poll(fds, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, os.NewSyscallError("poll", err)
		}
		if fds[1].Revents != 0 {
			return 0, errInterrupted
		}
		return in.file.Read(p)
	}
}

// interrupt ends a Read that waits, and all later ones.
func (in *interruptibleReader) interrupt() {
	if in.file != nil {
		in.once.Do(func() { in.wake[1].Close() }) // polled as POLLHUP
	}
}

// close is called when no Read will come any more.
func (in *interruptibleReader) close() {
	in.interrupt()
	if in.file != nil {
		in.wake[0].Close()
	}
}

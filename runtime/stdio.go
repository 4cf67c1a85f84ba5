package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/containerd/console"
	"github.com/containerd/go-runc"

	"github.com/entroos/entroos/morphzip/store"
)

// IO is what is attached to a process. Output is kept and digested whether
// anyone is attached or not.
type IO struct {
	// Stdin is read until it ends or the process does. A read that is under
	// way then is left to whoever has Stdin, who should end it.
	Stdin io.Reader
	// Stdout and Stderr get copies; nil is nobody. One that fails is not
	// written to again. All is written when the process is Done, unless a
	// writer blocked for 10 seconds after the process's end.
	Stdout, Stderr io.Writer
	// Tty asks for a terminal for a process executed in a container; a
	// container's own is a matter of its workload. All output is then Stdout.
	Tty bool
	// Rows and Cols are the terminal's size; 0 is 24 by 80.
	Rows, Cols uint32
}

// stdio is a process's side and ours of its standard streams.
type stdio struct {
	pipes   runc.IO       // what runc is started with
	socket  *runc.Socket  // on which runc sends the terminal, or nil
	console chan terminal // what came over the socket
	tty     console.Console
	stdin   io.WriteCloser
	outputs []*output
}

type terminal struct {
	console console.Console
	err     error
}

// newStdio prepares streams for a process that runs as the box's user uid and
// group gid. Socket is a path for the terminal's socket.
func (r *Runtime) newStdio(tty, stdin bool, uid, gid uint32, socket string) (*stdio, error) {
	s := &stdio{}
	var err error
	if !tty {
		s.pipes, err = runc.NewPipeIO(int(uid), int(gid), func(o *runc.IOOption) { o.OpenStdin = stdin })
		return s, err
	}
	if s.pipes, err = runc.NewNullIO(); err != nil {
		return nil, err
	}
	if s.socket, err = runc.NewConsoleSocket(socket); err != nil {
		s.pipes.Close()
		return nil, err
	}
	s.console = make(chan terminal, 1)
	r.spawn("receive terminal", func() {
		c, err := s.socket.ReceiveMaster()
		s.console <- terminal{c, err}
	})
	return s, nil
}

// connect starts to copy, once runc has started the process. prepare is given
// each output before.
func (r *Runtime) connect(s *stdio, attached IO, log *store.Appender, prepare func(*output)) error {
	stdout, stderr := io.ReadCloser(nil), io.ReadCloser(nil)
	if s.socket != nil {
		t := <-s.console
		if t.err != nil {
			s.console <- t // for close
			return fmt.Errorf("terminal: %w", t.err)
		}
		s.tty = t.console
		if err := s.resize(attached.Rows, attached.Cols); err != nil {
			return err
		}
		stdout, s.stdin = s.tty, s.tty
	} else {
		stdout, stderr, s.stdin = s.pipes.Stdout(), s.pipes.Stderr(), s.pipes.Stdin()
	}
	for _, o := range []struct {
		stream uint8
		source io.ReadCloser
		client io.Writer
	}{{store.Stdout, stdout, attached.Stdout}, {store.Stderr, stderr, attached.Stderr}} {
		if o.source == nil {
			continue
		}
		var a *attachment
		if o.client != nil {
			a = newAttachment(o.client)
			r.spawn("attached client", a.run)
		}
		output := newOutput(o.source, o.stream, log, a)
		prepare(output)
		s.outputs = append(s.outputs, output)
		r.spawn("output", output.run)
	}
	if s.stdin != nil && attached.Stdin != nil {
		r.spawn("input", func() {
			_, err := io.Copy(s.stdin, attached.Stdin)
			if s.tty == nil {
				err = errors.Join(err, s.stdin.Close())
			}
			if err = unexpectedInputError(err); err != nil {
				r.logger.Warn("standard input was not passed on to its end", "error", err)
			}
		})
	}
	return nil
}

// unexpectedInputError is nil for what says that one side ended before the
// other: the process reads no more, its terminal or our side of the pipe is
// closed, or whoever gave the input took it back.
func unexpectedInputError(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range joined.Unwrap() {
			errs = append(errs, unexpectedInputError(e))
		}
		return errors.Join(errs...)
	}
	for _, expected := range []error{syscall.EPIPE, syscall.EIO, fs.ErrClosed, io.ErrClosedPipe, context.Canceled} {
		if errors.Is(err, expected) {
			return nil
		}
	}
	return err
}

func (s *stdio) resize(rows, cols uint32) error {
	if s.tty == nil {
		return errNoTerminal
	}
	if rows == 0 || cols == 0 {
		rows, cols = 24, 80
	}
	return s.tty.Resize(console.WinSize{Height: uint16(min(rows, 0xffff)), Width: uint16(min(cols, 0xffff))})
}

// digests gives those of stdout and stderr, once they have ended.
func (s *stdio) digests() (stdout, stderr [32]byte) {
	stdout, stderr = emptyDigest, emptyDigest
	for _, o := range s.outputs {
		if o.stream == store.Stdout {
			stdout = o.sum()
		} else {
			stderr = o.sum()
		}
	}
	return stdout, stderr
}

// close closes our sides. Errors say that it is closed already.
func (s *stdio) close() {
	if s.socket != nil {
		_ = s.socket.Close()
		if s.tty == nil {
			// It may have come with nobody to take it.
			if t := <-s.console; t.err == nil {
				_ = t.console.Close()
			}
		}
	}
	if s.tty != nil {
		_ = s.tty.Close()
	}
	_ = s.pipes.Close()
}

// complaint is what runc wrote to standard error when it failed.
func (s *stdio) complaint() string {
	f, ok := s.pipes.Stderr().(*os.File)
	if !ok {
		return ""
	}
	buffer := make([]byte, 4096)
	n, err := readNow(f, buffer)
	if err != nil {
		return ""
	}
	return string(buffer[:n])
}

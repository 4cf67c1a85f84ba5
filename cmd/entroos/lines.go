package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The protocol of `console --json-lines`: each line is one JSON object.
//
//	← {"hello":"entroos"}                            at the start
//	→ {"args":["status","--json"],"stdin":"base64"}  runs a command; stdin may be left out
//	← {"stdout":"base64"}, {"stderr":"base64"}       its output, as it comes
//	← {"exit":0}                                     its exit status, last
//	→ {"cancel":true}                                cancels the command that runs
//
// Commands run one after the other. The other end is a program on the
// hypervisor, behind a virtio-serial port, which may be absent for a while.

// maxLine is the longest request, in bytes: an image for a test, in base64.
const maxLine = 64 << 20

// outputChunk is the most output in one answer, in bytes.
const outputChunk = 32 << 10

// portRetry is the time between two looks at a port whose other end is away.
const portRetry = 200 * time.Millisecond

// lastCommand is how long a command may go on when the console is told to end.
const lastCommand = 2 * time.Second

type lineRequest struct {
	Args   []string `json:"args"`
	Stdin  []byte   `json:"stdin"`
	Cancel bool     `json:"cancel"`
	bad    error    // what came is no request
}

type lineAnswer struct {
	Hello  string `json:"hello,omitempty"`
	Stdout []byte `json:"stdout,omitempty"`
	Stderr []byte `json:"stderr,omitempty"`
	Exit   *int   `json:"exit,omitempty"`
}

// lineServer runs the commands that come over a port.
type lineServer struct {
	env     *environment
	in, out *os.File
	// device: the port is a device, whose other end may go and come back.
	device   bool
	requests chan lineRequest

	writing sync.Mutex // one answer at a time

	mu     sync.Mutex
	cancel context.CancelFunc // of the command that runs
}

// serveLines serves until the input ends for good.
func serveLines(ctx context.Context, env *environment, in, out *os.File) error {
	info, err := in.Stat()
	if err != nil {
		return err
	}
	s := &lineServer{
		env: env, in: in, out: out, device: info.Mode()&os.ModeCharDevice != 0,
		requests: make(chan lineRequest, 16),
	}
	// A read of the port cannot be ended; the process's end ends it.
	reading := make(chan error, 1)
	go func() {
		reading <- s.read()
		close(s.requests)
	}()
	for {
		select {
		case req, ok := <-s.requests:
			if !ok {
				return <-reading
			}
			if err := s.run(ctx, req); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read takes requests from the port.
func (s *lineServer) read() error {
	lines := bufio.NewReaderSize(s.in, outputChunk)
	greet := true
	for {
		if greet {
			// While the other end is away, this waits in the kernel.
			if err := s.answer(lineAnswer{Hello: "entroos"}); err == nil {
				greet = false
			} else if !s.otherEndAway(err) {
				return err
			} else {
				time.Sleep(portRetry) // the device has no other way to say
				continue
			}
		}
		line, err := readLine(lines)
		switch {
		case err == nil:
			s.take(line)
		case s.device && (errors.Is(err, io.EOF) || s.otherEndAway(err)):
			// Nobody waits for what runs, and half a line is none.
			s.cancelCommand()
			lines.Reset(s.in)
			greet = true
		case errors.Is(err, io.EOF):
			return nil
		default:
			return fmt.Errorf("reading requests: %w", err)
		}
	}
}

// otherEndAway says that an error of the port will pass.
func (s *lineServer) otherEndAway(err error) bool {
	return s.device && (errors.Is(err, unix.EIO) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EPIPE))
}

// readLine reads one line of at most maxLine bytes.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("a request of more than %d MiB", maxLine>>20)
		}
		if err == nil {
			return line, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// take queues a request, or cancels.
func (s *lineServer) take(line []byte) {
	var req lineRequest
	if err := json.Unmarshal(line, &req); err != nil {
		s.requests <- lineRequest{bad: fmt.Errorf("a request that is not JSON: %w", err)}
		return
	}
	if req.Cancel {
		s.cancelCommand()
		return
	}
	s.requests <- req
}

func (s *lineServer) cancelCommand() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
}

// run runs one command and answers with what it prints and its status.
func (s *lineServer) run(console context.Context, req lineRequest) error {
	// A console that is told to end lets its command finish, if it soon does: it
	// may be the very command that ends the box.
	ctx, cancel := context.WithCancel(context.WithoutCancel(console))
	defer cancel()
	defer context.AfterFunc(console, func() { time.AfterFunc(lastCommand, cancel) })()
	s.mu.Lock()
	s.cancel = cancel
	s.mu.Unlock()
	env := *s.env
	env.stdin = bytes.NewReader(req.Stdin)
	env.stdout = answerWriter(func(p []byte) error { return s.answer(lineAnswer{Stdout: p}) })
	env.stderr = answerWriter(func(p []byte) error { return s.answer(lineAnswer{Stderr: p}) })
	env.terminal, env.columns, env.console = nil, func() int { return 0 }, true
	env.interrupts = &interrupts{}
	var status int
	if req.bad != nil {
		status = env.report(usageError(req.bad), nil)
	} else {
		status = env.execute(ctx, req.Args)
	}
	s.mu.Lock()
	s.cancel = nil
	s.mu.Unlock()
	return s.answer(lineAnswer{Exit: &status})
}

func (s *lineServer) answer(a lineAnswer) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	return nil
}

// answerWriter makes answers of what a command prints.
type answerWriter func(p []byte) error

func (w answerWriter) Write(p []byte) (int, error) {
	for chunk := range slices.Chunk(p, outputChunk) {
		if err := w(chunk); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

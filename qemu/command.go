package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// commandPortName is the virtio-serial port on which the box's console takes
// commands as JSON lines.
const commandPortName = "org.entroos.console.0"

// commandRequest is one line to the box.
type commandRequest struct {
	Args  []string `json:"args"`
	Stdin []byte   `json:"stdin,omitempty"`
}

// commandAnswer is one line from the box; one of its fields is set.
type commandAnswer struct {
	Hello  string `json:"hello"`
	Stdout []byte `json:"stdout"`
	Stderr []byte `json:"stderr"`
	Exit   *int   `json:"exit"`
}

// commandPort runs commands on the box, one at a time, over a virtio-serial
// port. It needs no network and no vsock.
type commandPort struct {
	conn    net.Conn
	turn    chan struct{} // holds a token when no command runs
	greeted chan struct{} // closed at the first hello
	done    chan struct{} // closed when the reader has ended
	err     error         // why the port ended; valid once done is closed

	mu   sync.Mutex
	call *commandCall // the command that runs
}

// commandCall is a command that waits for its end. Its writers are nil once
// nobody waits any more.
type commandCall struct {
	stdout, stderr io.Writer
	end            chan commandEnd // has room for the one
}

type commandEnd struct {
	exit int
	err  error
}

func newCommandPort(conn net.Conn) *commandPort {
	if conn == nil {
		return nil // the socket's error is reported by its maker
	}
	p := &commandPort{
		conn: conn, turn: make(chan struct{}, 1),
		greeted: make(chan struct{}), done: make(chan struct{}),
	}
	p.turn <- struct{}{}
	go p.read()
	return p
}

// read passes answers to the command that runs.
func (p *commandPort) read() {
	defer close(p.done)
	lines := bufio.NewReaderSize(p.conn, 64<<10)
	for first := true; ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			p.err = err
			return
		}
		var a commandAnswer
		if err := json.Unmarshal(line, &a); err != nil {
			p.err = fmt.Errorf("it said %.200q: %w", line, err)
			return
		}
		if a.Hello != "" && first {
			first = false
			close(p.greeted)
			continue
		}
		p.deliver(a)
	}
}

// ErrConsoleRestarted means that the box's end of the port began anew: the
// console or the whole box was restarted while a command ran.
var ErrConsoleRestarted = errors.New("the console restarted while the command ran")

func (p *commandPort) deliver(a commandAnswer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.call
	if c == nil {
		return // a hello between commands
	}
	var end commandEnd
	if c.stdout != nil {
		_, end.err = c.stdout.Write(a.Stdout)
	}
	if c.stderr != nil && end.err == nil {
		_, end.err = c.stderr.Write(a.Stderr)
	}
	switch {
	case end.err != nil: // the caller's; the command goes on to its end
		c.end <- end
		c.abandon()
		return
	case a.Exit != nil:
		end.exit = *a.Exit
	case a.Hello != "":
		end.err = ErrConsoleRestarted
	default:
		return
	}
	select {
	case c.end <- end:
	default: // nobody waits any more
	}
	p.call = nil
	p.turn <- struct{}{}
}

func (c *commandCall) abandon() { c.stdout, c.stderr = nil, nil }

// end waits for what is still to be read, at most until the deadline.
func (p *commandPort) end(deadline time.Time) {
	_ = p.conn.SetReadDeadline(deadline)
	<-p.done
	p.conn.Close()
}

// execute runs one command. When ctx ends first the command is cancelled, and
// the next execute waits for its end.
func (p *commandPort) execute(ctx context.Context, req commandRequest, stdout, stderr io.Writer) (int, error) {
	line, err := json.Marshal(req)
	if err != nil {
		return 0, err
	}
	for _, step := range []struct {
		ready   <-chan struct{}
		waiting string
	}{
		{p.greeted, "waiting for the box's console on the command port"},
		{p.turn, "waiting for the end of the command before"},
	} {
		select {
		case <-step.ready:
		case <-p.done:
			return 0, p.ended()
		case <-ctx.Done():
			return 0, fmt.Errorf("%s: %w", step.waiting, ctx.Err())
		}
	}
	c := &commandCall{stdout: stdout, stderr: stderr, end: make(chan commandEnd, 1)}
	p.mu.Lock()
	p.call = c
	p.mu.Unlock()
	written := make(chan error, 1)
	go func() { // a box that does not read holds the writer
		_, err := p.conn.Write(append(line, '\n'))
		written <- err
	}()
	for {
		select {
		case err := <-written:
			if err != nil {
				return 0, err // the port is dead, and keeps its token
			}
			written = nil
		case end := <-c.end:
			return end.exit, end.err
		case <-p.done:
			select {
			case end := <-c.end:
				return end.exit, end.err
			default:
				return 0, p.ended()
			}
		case <-ctx.Done():
			p.mu.Lock()
			c.abandon()
			p.mu.Unlock()
			go p.cancel(written)
			return 0, ctx.Err()
		}
	}
}

// cancel asks the box to cancel the command whose request is being written.
func (p *commandPort) cancel(written <-chan error) {
	if written != nil && <-written != nil {
		return // the port is dead
	}
	// An error means that the port has died since, which its reader tells.
	_, _ = io.WriteString(p.conn, `{"cancel":true}`+"\n")
}

func (p *commandPort) ended() error {
	return fmt.Errorf("the command port has ended: %w", p.err)
}

// Greeted waits until the box takes commands.
func (vm *VM) Greeted(ctx context.Context) error {
	r, err := vm.current()
	if err != nil {
		return err
	}
	select {
	case <-r.command.greeted:
		return nil
	case <-r.command.done:
		return r.command.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Command runs one command of the entroos tree on the box, waiting until the
// box is far enough to take it, and returns its output and exit status. An
// error means that the status is not known.
func (vm *VM) Command(ctx context.Context, args ...string) (stdout, stderr []byte, exit int, err error) {
	return vm.CommandInput(ctx, nil, args...)
}

// CommandInput is Command with a standard input.
func (vm *VM) CommandInput(ctx context.Context, stdin []byte, args ...string) (stdout, stderr []byte, exit int, err error) {
	var out, errs output
	exit, err = vm.CommandTo(ctx, &out, &errs, stdin, args...)
	return out.bytes(), errs.bytes(), exit, err
}

// CommandTo is Command with its output written as it comes.
func (vm *VM) CommandTo(ctx context.Context, stdout, stderr io.Writer, stdin []byte, args ...string) (exit int, err error) {
	r, err := vm.current()
	if err != nil {
		return 0, err
	}
	exit, err = r.command.execute(ctx, commandRequest{Args: args, Stdin: stdin}, stdout, stderr)
	if err != nil {
		return 0, r.failure(fmt.Errorf("command %q: %w", args, err))
	}
	return exit, nil
}

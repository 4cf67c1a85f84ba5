package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// attachment joins this terminal to a process in a container: standard input,
// window size and signals go there.
type attachment struct {
	env        *environment
	stdin, tty bool
	inputs     chan *entroosv1.ProcessInput
	stop       chan struct{} // closed when the process has ended
	left       chan struct{} // closed when the operator lets go of the process
	leaving    sync.Once
}

// errLeft: the operator let go of the process, which goes on.
var errLeft = errors.New("the process is left running")

// leave lets go of the process.
func (a *attachment) leave() { a.leaving.Do(func() { close(a.left) }) }

// leaveAfter is the number of interrupts after which the client lets go of a
// process that ignores them; docker's is the same.
const leaveAfter = 3

func (env *environment) newAttachment(stdin, tty bool) (*attachment, error) {
	if stdin && tty && env.terminal == nil {
		return nil, errors.New("-t with -i needs a terminal as standard input")
	}
	return &attachment{
		env: env, stdin: stdin, tty: tty, inputs: make(chan *entroosv1.ProcessInput),
		stop: make(chan struct{}), left: make(chan struct{}),
	}, nil
}

// window is the terminal's size, when the process gets a terminal.
func (a *attachment) window() *entroosv1.WindowSize {
	if !a.tty {
		return nil
	}
	size := &entroosv1.WindowSize{Rows: defaultRows, Columns: defaultColumns}
	if a.env.terminal == nil {
		return size
	}
	columns, rows, err := term.GetSize(int(a.env.terminal.Fd()))
	if err == nil && columns > 0 && rows > 0 {
		size.Rows, size.Columns = uint32(rows), uint32(columns)
	}
	return size
}

// run passes input on with send until receive, called again and again, says
// that the process has ended.
func (a *attachment) run(ctx context.Context, send func(*entroosv1.ProcessInput) error, receive func() (ended bool, err error)) error {
	restore, err := a.rawTerminal()
	if err != nil {
		return err
	}
	defer restore()
	var senders sync.WaitGroup
	defer senders.Wait()
	defer close(a.stop)
	senders.Go(func() { a.sendInputs(ctx, send) })
	defer a.env.interrupts.handle(a.onSignal())()
	defer a.passSignals(&senders)()
	if a.stdin {
		input, err := newInterruptibleReader(a.env.stdin)
		if err != nil {
			return err
		}
		defer input.interrupt()
		senders.Go(func() {
			defer input.close()
			a.copyStdin(input)
		})
	}
	end := make(chan error, 1)
	go func() {
		for {
			ended, err := receive()
			if ended || err != nil {
				end <- err
				return
			}
		}
	}()
	select {
	case err := <-end:
		return err
	case <-a.left: // the caller's end of the stream ends receive
		return errLeft
	}
}

// sendInputs is the only caller of send, which takes one at a time.
func (a *attachment) sendInputs(ctx context.Context, send func(*entroosv1.ProcessInput) error) {
	for {
		select {
		case in := <-a.inputs:
			if err := send(in); err != nil {
				return // receive tells why
			}
		case <-a.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// put queues an input; false when the process has ended.
func (a *attachment) put(in *entroosv1.ProcessInput) bool {
	select {
	case a.inputs <- in:
		return true
	case <-a.stop:
		return false
	}
}

func (a *attachment) copyStdin(input io.Reader) {
	buf := make([]byte, 32<<10)
	var keys detachKeys
	for {
		n, err := input.Read(buf)
		data := append([]byte(nil), buf[:n]...)
		if a.tty {
			var detach bool
			if data, detach = keys.filter(data); detach {
				a.leave()
				return
			}
		}
		if len(data) > 0 {
			if !a.put(&entroosv1.ProcessInput{Input: &entroosv1.ProcessInput_Stdin{Stdin: data}}) {
				return
			}
		}
		if errors.Is(err, errInterrupted) {
			return
		}
		if err != nil { // its end; an error of ours ends the process's input too
			if err != io.EOF {
				fmt.Fprintf(a.env.stderr, "entroos: reading standard input: %v\n", err)
			}
			a.put(&entroosv1.ProcessInput{Input: &entroosv1.ProcessInput_CloseStdin{CloseStdin: true}})
			return
		}
	}
}

// detachKeys watches for docker's Ctrl-P Ctrl-Q, by which the operator of a
// terminal lets go of the process in it.
type detachKeys struct{ held bool } // a Ctrl-P, until it is known what follows

func (k *detachKeys) filter(data []byte) (rest []byte, detach bool) {
	for _, b := range data {
		if k.held {
			if b == ctrlQ {
				return rest, true
			}
			rest = append(rest, ctrlP)
		}
		if k.held = b == ctrlP; !k.held {
			rest = append(rest, b)
		}
	}
	return rest, false
}

const (
	ctrlP = 'P' - '@'
	ctrlQ = 'Q' - '@'
)

// onSignal passes this process's signals to the container's.
func (a *attachment) onSignal() func(os.Signal) {
	var mu sync.Mutex
	interrupts := 0
	return func(s os.Signal) {
		number, ok := s.(syscall.Signal)
		if !ok {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if number == syscall.SIGINT {
			switch interrupts++; interrupts {
			case leaveAfter - 1:
				fmt.Fprintln(a.env.stderr, "entroos: the process goes on; interrupted once more, it is left running")
			case leaveAfter:
				a.leave()
			}
		}
		go a.put(&entroosv1.ProcessInput{Input: &entroosv1.ProcessInput_Signal{Signal: int32(number)}})
	}
}

// passSignals passes on the signals that only an attached command takes.
func (a *attachment) passSignals(senders *sync.WaitGroup) (stop func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
	senders.Go(func() {
		for {
			select {
			case s := <-signals:
				in := &entroosv1.ProcessInput{}
				if s == syscall.SIGWINCH {
					if !a.tty {
						continue
					}
					in.Input = &entroosv1.ProcessInput_Resize{Resize: a.window()}
				} else {
					in.Input = &entroosv1.ProcessInput_Signal{Signal: int32(s.(syscall.Signal))}
				}
				a.put(in)
			case <-a.stop:
				return
			}
		}
	})
	return func() { signal.Stop(signals) }
}

// rawTerminal hands the terminal's keys to a process that has a terminal of
// its own: Ctrl-C is then a byte like any other.
func (a *attachment) rawTerminal() (restore func(), err error) {
	if !a.tty || !a.stdin || a.env.terminal == nil {
		return func() {}, nil
	}
	fd := int(a.env.terminal.Fd())
	state, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("making the terminal raw: %w", err)
	}
	return func() {
		if err := term.Restore(fd, state); err != nil && !errors.Is(err, unix.EIO) { // EIO: it was hung up
			fmt.Fprintf(a.env.stderr, "entroos: restoring the terminal: %v\n", err)
		}
	}, nil
}

package nko

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	goruntime "runtime"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime"
)

// exitHistory is how many exits of unclaimed children are kept for those who
// ask late.
const exitHistory = 1024

// Reaper waits for every child of the process, as PID 1 must. There are two
// kinds of children:
//
//   - those started through the Reaper (Start, StartLocked, Spawn). os/exec
//     owns them: the Reaper sees them end and leaves them to their owner;
//   - all others, which are reparented to PID 1 when their parent ends: the
//     first processes of containers, and orphans. The Reaper waits for them
//     itself. An exit goes to whoever asked by Wait, or into a bounded history
//     for who asks late.
//
// Invariants: lock is held for reading from before a fork until the child is
// registered, and for writing from the decision that a zombie is nobody's
// until it has been waited for; so a child's owner never loses its exit.
//
// Nothing else in the process may start children, neither by os/exec nor by
// os.StartProcess.
type Reaper struct {
	lock sync.RWMutex

	mu      sync.Mutex // guards all below
	owned   map[int]*Child
	waiters map[int][]chan runtime.Exit
	history map[int]runtime.Exit
	order   []runtime.Exit // of history, oldest first; may name exits claimed since
	orphans uint64

	alive  chan chan struct{}
	wake   chan struct{}
	logger *slog.Logger
}

var _ runtime.Processes = (*Reaper)(nil)

// NewReaper makes a Reaper; children are waited for while Serve runs.
func NewReaper(logger *slog.Logger) *Reaper {
	// The os package finds out once whether it can use pidfds, by a child of
	// its own. That must have happened before we wait for unknown children.
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Release() // a handle on ourselves: nothing can be lost
	}
	return &Reaper{
		owned:   make(map[int]*Child),
		waiters: make(map[int][]chan runtime.Exit),
		history: make(map[int]runtime.Exit),
		alive:   make(chan chan struct{}),
		wake:    make(chan struct{}, 1),
		logger:  logger,
	}
}

// Child is a process started through the Reaper.
type Child struct {
	cmd    *exec.Cmd
	pid    int
	reaped chan struct{} // closed when the process itself has been waited for
	done   chan struct{} // closed when its output has been copied too
	state  *os.ProcessState
	at     time.Time
	err    error
}

// PID is the child's process id.
func (c *Child) PID() int { return c.pid }

// Done is closed when the child has ended and its output has been copied.
func (c *Child) Done() <-chan struct{} { return c.done }

// State is the child's end; nil before Done, and when waiting failed.
func (c *Child) State() *os.ProcessState { return c.state }

// Err is the failure of waiting for the child, after Done. A non-zero exit is
// no error; what the writer of its output returned is that writer's to tell.
func (c *Child) Err() error { return c.err }

// Signal sends sig to the child. It never reaches another process that was
// given the same id later.
func (c *Child) Signal(sig os.Signal) error { return c.cmd.Process.Signal(sig) }

// Spawn starts cmd and waits for it in a goroutine.
func (r *Reaper) Spawn(cmd *exec.Cmd) (*Child, error) {
	return r.spawn(cmd, false)
}

func (r *Reaper) spawn(cmd *exec.Cmd, locked bool) (*Child, error) {
	c := &Child{cmd: cmd, reaped: make(chan struct{}), done: make(chan struct{})}
	started := make(chan error, 1)
	Go("wait for "+cmd.Path, func() {
		if locked {
			// The child's Pdeathsig is bound to this thread.
			goruntime.LockOSThread()
			defer goruntime.UnlockOSThread()
		}
		if err := r.fork(c); err != nil {
			started <- err
			return
		}
		started <- nil
		c.wait(r)
	})
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

func (r *Reaper) fork(c *Child) error {
	r.lock.RLock()
	defer r.lock.RUnlock()
	if err := c.cmd.Start(); err != nil {
		return err
	}
	c.pid = c.cmd.Process.Pid
	r.mu.Lock()
	r.owned[c.pid] = c
	delete(r.history, c.pid) // an exit of an earlier process with this id
	r.mu.Unlock()
	return nil
}

// wait reaps the child, tells the reaper's loop, and then lets os/exec finish
// copying, which may take longer: a grandchild may hold the pipe.
func (c *Child) wait(r *Reaper) {
	defer close(c.done)
	c.reap(r)
	// os/exec copies to the end, closes its pipes, and then says that the
	// process was already waited for, which is so.
	if werr := c.cmd.Wait(); werr != nil && !errors.Is(werr, syscall.ECHILD) {
		c.err = errors.Join(c.err, werr)
	}
	c.cmd.ProcessState = c.state
}

func (c *Child) reap(r *Reaper) {
	defer close(c.reaped) // whatever happens: the reaper waits for it
	state, err := c.cmd.Process.Wait()
	c.state, c.at = state, time.Now()
	if err != nil {
		c.err = fmt.Errorf("wait for %s: %w", c.cmd.Path, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.owned, c.pid)
}

// Start implements go-runc's ProcessMonitor.
func (r *Reaper) Start(cmd *exec.Cmd) (chan runc.Exit, error) { return r.start(cmd, false) }

// StartLocked implements go-runc's ProcessMonitor: like Start, on an operating
// system thread that lives as long as the child.
func (r *Reaper) StartLocked(cmd *exec.Cmd) (chan runc.Exit, error) { return r.start(cmd, true) }

func (r *Reaper) start(cmd *exec.Cmd, locked bool) (chan runc.Exit, error) {
	c, err := r.spawn(cmd, locked)
	if err != nil {
		return nil, err
	}
	exits := make(chan runc.Exit, 1)
	Go("exit of "+cmd.Path, func() {
		defer close(exits)
		<-c.done
		exits <- runc.Exit{Timestamp: c.at, Pid: c.pid, Status: exitStatus(c.state)}
	})
	return exits, nil
}

// Wait implements go-runc's ProcessMonitor for a child given by Start.
func (r *Reaper) Wait(_ *exec.Cmd, exits chan runc.Exit) (int, error) {
	e, ok := <-exits
	if !ok {
		return -1, errors.New("the exit was already taken")
	}
	return e.Status, nil
}

// exitStatus is a shell's: 128+n for signal n, and 255 when not known.
func exitStatus(state *os.ProcessState) int {
	if state == nil {
		return 255
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}

// WaitPID gives the exit of a process that was not started through the Reaper
// but is, or becomes when its parent ends, a child of PID 1: the first process
// of a container. The process may have ended already, as long as it is among
// the last 1,024 that did. Each exit is given once. The channel holds the exit
// and is closed.
func (r *Reaper) WaitPID(pid int) (<-chan runtime.Exit, error) {
	if pid <= 0 {
		return nil, fmt.Errorf("wait: %d is no process id", pid)
	}
	exit := make(chan runtime.Exit, 1)
	// No zombie is reaped between our look at the process and our asking.
	r.lock.RLock()
	defer r.lock.RUnlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.owned[pid]; ok {
		return nil, fmt.Errorf("wait: process %d has an owner", pid)
	}
	if err := unix.Kill(pid, 0); err == nil || errors.Is(err, unix.EPERM) {
		// What history knows of this id is about an earlier process.
		delete(r.history, pid)
		r.waiters[pid] = append(r.waiters[pid], exit)
		r.nudge()
		return exit, nil
	}
	e, ok := r.history[pid]
	if !ok {
		return nil, fmt.Errorf("wait: process %d: %w", pid, os.ErrProcessDone)
	}
	delete(r.history, pid)
	r.orphans--
	exit <- e
	close(exit)
	return exit, nil
}

// Orphans is the number of children that ended without anyone asking for
// their exit.
func (r *Reaper) Orphans() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.orphans
}

// Alive returns nil when the loop that reaps answers before ctx ends.
func (r *Reaper) Alive(ctx context.Context) error {
	answer := make(chan struct{})
	select {
	case r.alive <- answer:
		<-answer
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the reaper does not answer: %w", ctx.Err())
	}
}

// Childless waits until the process has no children any more, or ctx ends.
func (r *Reaper) Childless(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		switch _, err := peek(unix.P_ALL, 0); {
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return fmt.Errorf("waitid: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("children are left: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// Serve reaps until ctx ends.
func (r *Reaper) Serve(ctx context.Context) error {
	sigchld := make(chan os.Signal, 1)
	signal.Notify(sigchld, unix.SIGCHLD)
	defer signal.Stop(sigchld)
	for {
		if err := r.reapAll(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-sigchld:
		case <-r.wake:
		case answer := <-r.alive:
			close(answer)
		}
	}
}

func (r *Reaper) nudge() {
	select {
	case r.wake <- struct{}{}:
	default: // a look is already due
	}
}

// reapAll looks at zombies, one after the other, until there is none.
func (r *Reaper) reapAll(ctx context.Context) error {
	for {
		pid, err := peek(unix.P_ALL, 0)
		switch {
		case errors.Is(err, unix.ECHILD) || err == nil && pid == 0:
			return nil
		case err != nil:
			return fmt.Errorf("waitid: %w", err)
		}
		if c := r.reap(pid); c != nil {
			// Its owner is in waitid for it already, so this is short.
			select {
			case <-c.reaped:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// reap waits for the zombie pid, unless it has an owner, who is returned.
func (r *Reaper) reap(pid int) *Child {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.mu.Lock()
	owner := r.owned[pid]
	r.mu.Unlock()
	if owner != nil {
		return owner
	}
	// A failed fork's child may have been waited for by os/exec since.
	if again, err := peek(unix.P_PID, pid); err != nil || again != pid {
		return nil
	}
	var status unix.WaitStatus
	got, err := retryEINTR(func() (int, error) { return unix.Wait4(pid, &status, unix.WNOHANG, nil) })
	if err != nil || got != pid {
		r.logger.Error("a zombie could not be waited for", "pid", pid, "error", err)
		return nil
	}
	e := runtime.Exit{PID: pid, At: time.Now()}
	if status.Signaled() {
		e.Signal = int(status.Signal())
	} else {
		e.Code = status.ExitStatus()
	}
	r.deliver(e)
	return nil
}

func (r *Reaper) deliver(e runtime.Exit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if waiters := r.waiters[e.PID]; len(waiters) > 0 {
		delete(r.waiters, e.PID)
		for _, w := range waiters {
			w <- e
			close(w)
		}
		return
	}
	r.orphans++
	r.history[e.PID] = e
	r.order = append(r.order, e)
	for len(r.order) > exitHistory {
		if oldest := r.order[0]; r.history[oldest.PID] == oldest {
			delete(r.history, oldest.PID)
		}
		r.order = r.order[1:]
	}
}

// peek gives the id of a child that has ended, leaving it to be waited for;
// 0 is none.
func peek(idType, id int) (int, error) {
	var info unix.Siginfo
	_, err := retryEINTR(func() (int, error) {
		return 0, unix.Waitid(idType, id, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	})
	if err != nil {
		return 0, err
	}
	return siginfoPID(&info), nil
}

func retryEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

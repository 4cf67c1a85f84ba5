package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Kill sends a signal to the first process. One that is not SIGKILL reaches it
// only if it handles it: in its own view it is PID 1.
func (c *Container) Kill(_ context.Context, signal int) error {
	select {
	case <-c.done:
		return ErrNotRunning
	default:
	}
	return sendSignal(c.pidfd, signal)
}

func sendSignal(pidfd *os.File, signal int) error {
	if pidfd == nil {
		return ErrNotRunning
	}
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	// While it is used it is not closed, and so is no other file.
	controlErr := raw.Control(func(fd uintptr) {
		err = unix.PidfdSendSignal(int(fd), unix.Signal(signal), nil, 0)
	})
	if errors.Is(controlErr, os.ErrClosed) || errors.Is(err, unix.ESRCH) {
		return ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("signal %d: %w", signal, err)
	}
	return nil
}

// Stop ends the container: with its stop signal, and, if it is not Done by
// then, after grace with SIGKILL; zero grace is the workload's own. It returns
// when the container is Done.
func (c *Container) Stop(ctx context.Context, grace time.Duration) error {
	if grace == 0 {
		grace = time.Duration(c.workload.StopTimeoutSeconds) * time.Second
	}
	for _, s := range []struct {
		signal int
		wait   time.Duration
	}{{c.workload.StopSignal, grace}, {int(unix.SIGKILL), drainTime + 10*time.Second}} {
		if err := c.Kill(ctx, s.signal); err != nil && !errors.Is(err, ErrNotRunning) {
			return err
		}
		timer := time.NewTimer(s.wait)
		select {
		case <-c.done:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
	return fmt.Errorf("container %s does not end, even by SIGKILL", c.id)
}

// Close gives back what an execution held: mounts, network, cgroup. What the
// container wrote, its log, and its slot stay until Remove. A container that
// was not started is ended first; one that runs is an error.
func (c *Container) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	started := !c.started.IsZero()
	c.mu.Unlock()
	select {
	case <-c.done:
	default:
		if started {
			return fmt.Errorf("close container %s: it is running", c.id)
		}
		if err := c.Kill(ctx, int(unix.SIGKILL)); err != nil && !errors.Is(err, ErrNotRunning) {
			return err
		}
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	err := c.revert()
	r := c.runtime
	r.mu.Lock()
	delete(r.containers, c.id)
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("close container %s: %w", c.id, err)
	}
	return nil
}

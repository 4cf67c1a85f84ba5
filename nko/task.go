package nko

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/runtime"
)

// task is one container and what becomes of it.
type task struct {
	all     *Workloads
	id      string
	created int64 // Unix nanoseconds

	mu         sync.Mutex
	c          *entroosv1.Container    // replaced, never changed
	busy       chan struct{}           // while it runs or is removed; closed after
	now        Container               // the execution under way
	workload   *runtime.Workload       // its workload
	stopNow    chan struct{}           // closed: no restart any more
	stopWanted bool                    // an operator has stopped it
	failed     failedStart             // its last start, if that failed
	delayed    *equations.RestartFacts // the last delay before a restart

	made Container // the last that the engine made for it

	loaded      bool         // it was there at the boot
	interrupted bool         // the box's last stop cut it off; set by Recover alone
	owed        *StartRecord // of an execution without its receipt; of whoever has the task
}

func newTask(w *Workloads, c *entroosv1.Container) *task {
	return &task{all: w, id: c.GetId(), created: c.GetCreatedUnixNano(), c: c}
}

func (t *task) name() string { return t.get().GetSpec().GetName() }

// get gives the container as it is now. It must not be changed.
func (t *task) get() *entroosv1.Container {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.c
}

// with gives a copy of the container, changed.
func (t *task) with(change func(*entroosv1.Container)) *entroosv1.Container {
	c := proto.CloneOf(t.get())
	change(c)
	return c
}

func (t *task) set(c *entroosv1.Container) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.c = c
}

// update changes the container, in memory and on the disk. What is only for the
// eyes of an operator is not worth failing for.
func (t *task) update(change func(*entroosv1.Container)) {
	c := t.with(change)
	t.set(c)
	if err := t.all.store.PutContainer(c); err != nil {
		t.all.logger.Error("container's state not kept", "container", t.id, "error", err)
	}
}

// spec is the container's, bound to the image it was made from: a reference
// may name another one by now.
func (t *task) spec() *entroosv1.WorkloadSpec {
	c := t.get()
	spec := proto.CloneOf(c.GetSpec())
	spec.Image = c.GetImageDigest()
	return spec
}

// begin takes the container; end gives it free.
func (t *task) begin() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy != nil {
		return fmt.Errorf("container %s: %w", t.c.GetSpec().GetName(), ErrRunning)
	}
	t.busy, t.stopNow = make(chan struct{}), make(chan struct{})
	return nil
}

func (t *task) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.busy)
	t.busy = nil
}

func (t *task) active() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.busy != nil
}

// want notes whether an operator has stopped the container.
func (t *task) want(stopped bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopWanted == stopped {
		return nil
	}
	if err := t.all.store.SetStopped(t.id, stopped); err != nil {
		return fmt.Errorf("container %s: %w", t.c.GetSpec().GetName(), err)
	}
	t.stopWanted = stopped
	return nil
}

// running notes the execution under way, or nil.
func (t *task) running(w *runtime.Workload, c Container) {
	if c != nil {
		running := t.with(func(p *entroosv1.Container) {
			p.State = entroosv1.ContainerState_CONTAINER_STATE_RUNNING
			p.StartedUnixNano, p.Error = time.Now().UnixNano(), ""
			p.QueuedReason, p.QueuedUnixNano = "", 0
			p.Pid = uint32(c.PID())
			if ip := c.IP(); ip.IsValid() {
				p.IpAddress = ip.String()
			}
		})
		t.set(running)
	}
	t.mu.Lock()
	t.workload, t.now = w, c
	t.mu.Unlock()
	t.all.tellChange()
}

// container gives the execution under way.
func (t *task) container() (Container, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now == nil {
		return nil, fmt.Errorf("container %s: %w", t.c.GetSpec().GetName(), ErrNotRunning)
	}
	return t.now, nil
}

// run has the container placed, and runs it as often as its policy says; it
// keeps its place between. With a fresh start, one that fails is an operator's
// to see, and not tried again.
func (t *task) run(e *Execution, io runtime.IO, first *start) {
	defer t.release()
	placed := false
	for failures := 0; ; {
		begun := time.Now()
		end, ran := (*entroosv1.RunExited)(nil), false
		if !placed {
			if err := t.place(first.ctx, func() { first.waits(t) }); err != nil {
				end = &entroosv1.RunExited{ExitCode: exitNotStarted, Error: err.Error()}
				t.unqueue(err.Error())
				first.is(t, noPlaceError{err})
			}
			placed = end == nil
		}
		if placed {
			end, ran = t.execute(context.Background(), e, io, func(err error) { first.is(t, err) })
		}
		if time.Since(begun) >= restartReset {
			failures = 0
		}
		if !t.restarts(end) || first.fresh && !ran {
			t.release() // before anybody is told: its ports are free
			if t.get().GetSpec().GetRemove() || !placed && first.fresh && first.made {
				if err := t.all.erase(context.Background(), t); err != nil {
					t.all.logger.Error("container not removed", "container", t.id, "error", err)
				}
			}
			e.tell(end)
			return
		}
		e.tell(end)
		if !t.pause(t.delay(failures)) {
			return
		}
		failures++
		// Whoever was attached has seen the end.
		e, io = newExecution(), runtime.IO{}
		first.fresh, first.ctx = false, context.Background()
	}
}

// settle writes the receipt that an execution is owed which the box's last stop
// cut off, if the disk did not take it before.
func (t *task) settle() error {
	if t.owed == nil {
		return nil
	}
	end := &entroosv1.RunExited{ExitCode: exitUnknown, Error: "the box stopped before its end was seen"}
	if err := t.write(t.owed.interrupted(), end); err != nil {
		return err
	}
	t.owed = nil
	return nil
}

// rest sees to it that a container which does not run any more does not say
// that it does.
func (t *task) rest() {
	switch t.get().GetState() {
	case entroosv1.ContainerState_CONTAINER_STATE_QUEUED:
		t.unqueue("the box stopped while it was queued")
	case entroosv1.ContainerState_CONTAINER_STATE_RUNNING, entroosv1.ContainerState_CONTAINER_STATE_RESTARTING:
		t.update(func(c *entroosv1.Container) {
			c.State = entroosv1.ContainerState_CONTAINER_STATE_EXITED
			c.Pid, c.IpAddress = 0, ""
		})
	}
}

func (t *task) noRestart() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stopNow
}

// held says that the container is not to start again.
func (t *task) held() bool {
	select {
	case <-t.noRestart():
		return true
	default:
		return false
	}
}

// hold sees to it that the container does not start again.
func (t *task) hold() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy == nil {
		return
	}
	select {
	case <-t.stopNow:
	default:
		close(t.stopNow)
	}
}

// stop ends the container and waits for its receipt. It is ended even when ctx
// ends before.
func (t *task) stop(ctx context.Context, grace time.Duration) error {
	t.hold()
	t.mu.Lock()
	busy, now, workload := t.busy, t.now, t.workload
	t.mu.Unlock()
	if busy == nil {
		return nil
	}
	if now != nil {
		Go("stop "+t.id, func() { t.halt(now, workload, grace) })
	}
	select {
	case <-busy:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop container %s: %w", t.name(), ctx.Err())
	}
}

// grace is the container's own stop timeout, but at most that.
func (t *task) grace(most time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.workload == nil {
		return most
	}
	return min(most, time.Duration(t.workload.StopTimeoutSeconds)*time.Second)
}

// halt ends an execution; a grace of 0 is the workload's own.
func (t *task) halt(now Container, w *runtime.Workload, grace time.Duration) {
	if grace == 0 {
		grace = time.Duration(w.StopTimeoutSeconds) * time.Second
	}
	if err := now.Stop(context.Background(), grace); err != nil {
		select {
		case <-now.Done(): // by itself, meanwhile
		default:
			t.all.logger.Error("container does not stop", "container", t.id, "error", err)
		}
	}
}

// kill sends a signal to the execution under way.
func (t *task) kill(ctx context.Context, signal int) error {
	t.mu.Lock()
	ends := signal == int(unix.SIGKILL) || t.workload != nil && signal == t.workload.StopSignal
	queued := t.busy != nil && t.c.GetState() == entroosv1.ContainerState_CONTAINER_STATE_QUEUED
	t.mu.Unlock()
	if queued && (ends || signal == int(unix.SIGTERM) || signal == int(unix.SIGINT)) {
		if err := t.want(true); err != nil {
			return err
		}
		return t.stop(ctx, 0)
	}
	now, err := t.container()
	if err != nil {
		return err
	}
	if ends {
		if err := t.want(true); err != nil {
			return err
		}
		t.hold()
	}
	if err := now.Kill(ctx, signal); err != nil {
		return fmt.Errorf("kill container %s: %w", t.name(), err)
	}
	return nil
}

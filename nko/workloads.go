package nko

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime"
)

// Errors of Workloads, wrapped with what they are about.
var (
	ErrNoContainer = errors.New("no such container")
	ErrNameTaken   = errors.New("the name is taken")
	ErrBadName     = errors.New("a name has letters, digits, '_', '.' and '-', begins with a letter or digit, and is at most 63 long")
	ErrRunning     = errors.New("the container is running")
	ErrNotRunning  = errors.New("the container is not running")
	ErrStopping    = errors.New("the box is stopping")
	ErrAmbiguous   = errors.New("more than one container has such an id")

	ErrRemoveRestart = errors.New("a container is either removed at its end or restarted: --rm and --restart exclude each other")
)

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)

// Workloads runs the box's containers: it keeps what an operator asked for,
// starts them, restarts them by their policies, and leaves a receipt for every
// execution.
type Workloads struct {
	store  *Store
	engine Engine
	placer Placer // may be nil
	wake   func() // a receipt has entered the outbox
	logger *slog.Logger

	stopped  chan struct{} // closed by Close
	stopOnce sync.Once

	mu       sync.Mutex
	tasks    map[string]*task // by id
	changed  func()           // another set of containers runs or is made; may be nil
	making   int              // how many are being made
	stopping bool
	problem  string
	running  sync.WaitGroup // tasks under way
}

// NewWorkloads makes Workloads over what the store holds. wake is called when a
// receipt has been written.
func NewWorkloads(store *Store, engine Engine, wake func(), logger *slog.Logger) (*Workloads, error) {
	w := &Workloads{
		store: store, wake: wake, logger: logger,
		stopped: make(chan struct{}), tasks: make(map[string]*task),
	}
	w.engine = notedEngine{Engine: engine, all: w}
	containers, stopped, err := store.Containers()
	if err != nil {
		return nil, fmt.Errorf("containers: %w", err)
	}
	for _, c := range containers {
		t := newTask(w, c)
		t.stopWanted, t.loaded = stopped[t.id], true
		w.tasks[t.id] = t
	}
	return w, nil
}

// Run makes a container and starts it. It returns when the container's process
// runs, or waits for its place; the execution goes on without ctx. An error of
// the start comes with the container, which is kept, and the execution, which
// has ended; other errors leave nothing behind.
func (w *Workloads) Run(ctx context.Context, spec *entroosv1.WorkloadSpec, io runtime.IO) (*entroosv1.Container, *Execution, error) {
	return w.run(ctx, spec, io, nil)
}

// RunAttached is Run that waits for the container's place: queued is called when
// it has to, and when ctx ends meanwhile, nothing has run and nothing is left.
func (w *Workloads) RunAttached(ctx context.Context, spec *entroosv1.WorkloadSpec, io runtime.IO, queued func(*entroosv1.Container)) (*entroosv1.Container, *Execution, error) {
	return w.run(ctx, spec, io, queued)
}

func (w *Workloads) run(ctx context.Context, spec *entroosv1.WorkloadSpec, io runtime.IO, queued func(*entroosv1.Container)) (*entroosv1.Container, *Execution, error) {
	t, err := w.create(spec)
	if err != nil {
		return nil, nil, err
	}
	waiter := context.Background()
	if queued != nil {
		waiter = ctx
	}
	e, err := w.launch(t, io, &start{ctx: waiter, fresh: true, made: true}, queued)
	switch unplaced := (noPlaceError{}); {
	case e == nil:
		return nil, nil, errors.Join(err, w.forget(context.WithoutCancel(ctx), t))
	case errors.As(err, &unplaced):
		return nil, nil, errors.Join(err, t.stop(context.WithoutCancel(ctx), 0)) // until it is gone
	}
	return t.get(), e, err
}

// create keeps a new container, which does not run yet.
func (w *Workloads) create(spec *entroosv1.WorkloadSpec) (*task, error) {
	if spec.GetRemove() && spec.GetRestart().GetMode() > entroosv1.RestartPolicy_MODE_NO {
		return nil, ErrRemoveRestart
	}
	workload, err := w.engine.Resolve(spec)
	if err != nil {
		return nil, err
	}
	if _, err := replica(&entroosv1.Container{Spec: spec}, workload); err != nil {
		return nil, err
	}
	var id [32]byte
	rand.Read(id[:]) // never fails
	c := &entroosv1.Container{
		Id:              hex.EncodeToString(id[:]),
		Spec:            proto.CloneOf(spec),
		ImageDigest:     imageDigest(workload),
		State:           entroosv1.ContainerState_CONTAINER_STATE_CREATED,
		CreatedUnixNano: time.Now().UnixNano(),
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopping {
		return nil, ErrStopping
	}
	taken := func(name string) bool {
		for _, t := range w.tasks {
			if t.name() == name {
				return true
			}
		}
		return false
	}
	switch name := spec.GetName(); {
	case name == "":
		c.Spec.Name = randomName(taken)
	case !namePattern.MatchString(name):
		return nil, fmt.Errorf("%q: %w", name, ErrBadName)
	case taken(name):
		return nil, fmt.Errorf("%q: %w; remove that container first, or take another name", name, ErrNameTaken)
	}
	if err := w.store.PutContainer(c); err != nil {
		return nil, fmt.Errorf("keep container: %w", err)
	}
	t := newTask(w, c)
	w.tasks[t.id] = t
	return t, nil
}

// launch starts the goroutine that runs the container, and returns when its
// first process runs or failed to. While the container waits for its place,
// queued is called and launch goes on waiting, until first's ctx ends; without
// queued it returns.
func (w *Workloads) launch(t *task, io runtime.IO, first *start, queued func(*entroosv1.Container)) (*Execution, error) {
	w.mu.Lock()
	if w.stopping {
		w.mu.Unlock()
		return nil, ErrStopping
	}
	if err := t.begin(); err != nil {
		w.mu.Unlock()
		return nil, err
	}
	w.running.Add(1)
	w.mu.Unlock()

	e := newExecution()
	first.attended, first.came, first.queued = queued != nil, make(chan error, 1), make(chan struct{}, 1)
	Go("container "+t.id, func() {
		defer w.running.Done()
		defer t.end()
		err := Protect("container "+t.id, func() error {
			if err := t.settle(); err != nil {
				return err
			}
			t.run(e, io, first)
			t.rest()
			return nil
		})
		if err != nil {
			t.abort(e, err)
			first.is(t, err)
		}
	})
	for {
		select {
		case err := <-first.came:
			return e, err
		case <-first.queued:
			if queued == nil {
				return e, nil
			}
			queued(t.get())
		}
	}
}

// Start starts a container; one that runs already, or is queued, goes on. It
// returns when the container's process runs, or waits for its place.
func (w *Workloads) Start(id string) (*entroosv1.Container, error) {
	t, err := w.find(id)
	if err != nil {
		return nil, err
	}
	if err := t.want(false); err != nil {
		return nil, err
	}
	if t.active() {
		return t.get(), nil
	}
	t.update(func(c *entroosv1.Container) { c.Restarts = 0 })
	if _, err := w.launch(t, runtime.IO{}, &start{ctx: context.Background(), fresh: true}, nil); err != nil {
		return nil, err
	}
	return t.get(), nil
}

// Stop asks a container to end, kills it after the grace (0 is its own), and
// returns when its receipt is on the disk. A container waiting for its restart
// is not restarted.
func (w *Workloads) Stop(ctx context.Context, id string, grace time.Duration) (*entroosv1.Container, error) {
	t, err := w.find(id)
	if err != nil {
		return nil, err
	}
	if err := t.want(true); err != nil {
		return nil, err
	}
	if err := t.stop(ctx, grace); err != nil {
		return nil, err
	}
	return t.get(), nil
}

// Kill sends a signal to a container's first process. With SIGKILL, or its own
// stop signal, the container is not restarted.
func (w *Workloads) Kill(ctx context.Context, id string, signal int) error {
	t, err := w.find(id)
	if err != nil {
		return err
	}
	return t.kill(ctx, signal)
}

// Remove deletes a container with its writable layer and logs; force kills a
// running one first. Its receipts stay.
func (w *Workloads) Remove(ctx context.Context, id string, force bool) error {
	t, err := w.find(id)
	if err != nil {
		return err
	}
	if t.active() {
		if !force {
			is := ErrRunning
			if t.get().GetState() == entroosv1.ContainerState_CONTAINER_STATE_QUEUED {
				is = ErrQueued
			}
			return fmt.Errorf("container %s: %w; stop it first, or use force", t.name(), is)
		}
		if err := t.want(true); err != nil {
			return err
		}
		if err := t.stop(ctx, time.Nanosecond); err != nil {
			return err
		}
	}
	return w.forget(ctx, t)
}

// forget deletes a container that does not run.
func (w *Workloads) forget(ctx context.Context, t *task) error {
	if err := t.begin(); err != nil { // nobody starts it from now on
		return err
	}
	defer t.end()
	if err := t.settle(); err != nil {
		return err
	}
	return w.erase(ctx, t)
}

// erase deletes a container that its caller has taken.
func (w *Workloads) erase(ctx context.Context, t *task) error {
	w.mu.Lock()
	_, there := w.tasks[t.id]
	w.mu.Unlock()
	if !there {
		return nil // it was to be removed at its end
	}
	if err := w.engine.Remove(ctx, t.id); err != nil {
		return fmt.Errorf("remove container %s: %w", t.name(), err)
	}
	if err := w.store.DeleteContainer(t.id); err != nil {
		return fmt.Errorf("remove container %s: %w", t.name(), err)
	}
	w.mu.Lock()
	delete(w.tasks, t.id)
	w.mu.Unlock()
	return nil
}

// Problem says why receipts cannot be written, or is empty.
func (w *Workloads) Problem() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.problem
}

func (w *Workloads) setProblem(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problem = text
}

// Close stops every container, by its own grace but at most until ctx ends, and
// returns when their receipts are written. Nothing starts any more.
func (w *Workloads) Close(ctx context.Context) error {
	w.mu.Lock()
	w.stopping = true
	w.mu.Unlock()
	var all sync.WaitGroup
	for _, t := range w.list() {
		if !t.active() {
			continue
		}
		var grace time.Duration // its own
		if deadline, ok := ctx.Deadline(); ok {
			grace = t.grace(time.Until(deadline) * 3 / 4)
		}
		all.Add(1)
		Go("stop "+t.id, func() {
			defer all.Done()
			if err := t.stop(ctx, grace); err != nil {
				w.logger.Error("container not stopped", "container", t.name(), "error", err)
			}
		})
	}
	all.Wait()
	w.stopOnce.Do(func() { close(w.stopped) })
	idle := make(chan struct{})
	Go("workloads end", func() {
		w.running.Wait()
		close(idle)
	})
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("containers still running: %w", ctx.Err())
	}
}

// imageDigest is that of a workload's image, as the API has it.
func imageDigest(w *runtime.Workload) string { return fmt.Sprintf("sha256:%x", w.ImageDigest) }

package nko

import (
	"context"
	"errors"
	"fmt"
	"time"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/router"
	"github.com/entroos/entroos/runtime"
)

// Placer is asked before a container starts for the first time, and told when
// it rests. RouterLink is one.
type Placer interface {
	// Place returns when the replica may start on this box; queued is called
	// when it has to wait, with the reason. An error wraps ErrRefused, or is
	// ctx's: then nothing is committed to the replica.
	Place(ctx context.Context, r *entroosv1.Replica, queued func(reason string)) error
	// Release gives back what was committed to a replica.
	Release(id string)
}

// Errors of a container that is not placed.
var (
	// ErrRefused: no node can ever hold the container as nodes are now.
	ErrRefused = errors.New("no place for it")
	// ErrCancelled: it was stopped while it was queued.
	ErrCancelled = errors.New("it was stopped while it was queued")
	// ErrQueued: the container waits for its place.
	ErrQueued = errors.New("the container is queued")
)

// noPlaceError is why a start got no place.
type noPlaceError struct{ error }

func (e noPlaceError) Unwrap() error { return e.error }

// What placement counts on for a container that does not say.
const (
	DefaultCPURequestMilli    = 10
	DefaultMemoryRequestBytes = 4 << 20
	DefaultCPUWeight          = 100

	maxCPUWeight = 10_000 // cgroup v2's
)

// PlaceWith has containers placed by p, before any is started; without it they
// start at once.
func (w *Workloads) PlaceWith(p Placer) { w.placer = p }

// Replica is what would be asked of the placer for a container of that spec.
func (w *Workloads) Replica(spec *entroosv1.WorkloadSpec) (*entroosv1.Replica, error) {
	workload, err := w.engine.Resolve(spec)
	if err != nil {
		return nil, err
	}
	r, err := replica(&entroosv1.Container{Spec: spec}, workload)
	if err != nil {
		return nil, err
	}
	if r.Id = "spec of an image"; r.Name == "" {
		r.Name = spec.GetImage()
	}
	return r, nil
}

// replica is what is asked of the placer for a container.
func replica(c *entroosv1.Container, w *runtime.Workload) (*entroosv1.Replica, error) {
	spec := c.GetSpec()
	r := &entroosv1.Replica{
		Id: c.GetId(), Name: spec.GetName(), Constraints: spec.GetConstraints(),
		CpuMilli:    orDefault(spec.GetCpuRequestMilli(), DefaultCPURequestMilli),
		CpuWeight:   orDefault(spec.GetCpuWeight(), DefaultCPUWeight),
		MemoryBytes: orDefault(spec.GetMemoryRequestBytes(), DefaultMemoryRequestBytes),
	}
	if w.ImageEntropy.Known {
		r.Entropy = &w.ImageEntropy.Share
	}
	for _, p := range w.Ports {
		port := &entroosv1.PortMapping{HostPort: uint32(p.HostPort), ContainerPort: uint32(p.ContainerPort), Protocol: p.Protocol}
		if p.HostIP.IsValid() {
			port.HostIp = p.HostIP.String()
		}
		r.Ports = append(r.Ports, port)
	}
	switch {
	case r.CpuWeight > maxCPUWeight:
		return nil, fmt.Errorf("%w: a CPU weight of %d is not between 1 and %d", runtime.ErrInvalid, r.CpuWeight, maxCPUWeight)
	case r.CpuMilli > 1_000_000:
		return nil, fmt.Errorf("%w: a CPU request of %g cores is more than 1000", runtime.ErrInvalid, float64(r.CpuMilli)/1000)
	case r.MemoryBytes > router.MaxMemory:
		return nil, fmt.Errorf("%w: a memory reservation of %d bytes is more than any box has", runtime.ErrInvalid, r.MemoryBytes)
	case w.Limits.MemoryBytes > 0 && spec.GetMemoryRequestBytes() > w.Limits.MemoryBytes:
		return nil, fmt.Errorf("%w: the memory reservation of %d MiB is above the memory limit of %d MiB; raise the limit (--memory)",
			runtime.ErrInvalid, r.MemoryBytes>>20, w.Limits.MemoryBytes>>20)
	}
	for _, text := range r.Constraints {
		if _, err := router.ParseConstraint(text); err != nil {
			return nil, fmt.Errorf("%w: %w", runtime.ErrInvalid, err)
		}
	}
	return r, nil
}

func orDefault(n, other uint64) uint64 {
	if n == 0 {
		return other
	}
	return n
}

// place returns when the container may start; ctx is that of whoever waits for
// it. queued is called when it has to wait.
func (t *task) place(ctx context.Context, queued func()) error {
	if t.all.placer == nil {
		return nil
	}
	workload, err := t.all.engine.Resolve(t.spec())
	if err != nil {
		return err
	}
	r, err := replica(t.get(), workload)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	Go("placement of "+t.id, func() {
		select {
		case <-t.noRestart():
			cancel()
		case <-waiting.Done():
		}
	})
	err = t.all.placer.Place(waiting, r, func(reason string) {
		t.queue(reason)
		queued()
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, context.Canceled):
		err = ErrCancelled
	}
	return fmt.Errorf("container %s: %w", t.name(), err)
}

// queue notes that the container waits for its place, or why it does now.
func (t *task) queue(reason string) {
	t.update(func(c *entroosv1.Container) {
		if c.State != entroosv1.ContainerState_CONTAINER_STATE_QUEUED {
			c.State, c.QueuedUnixNano = entroosv1.ContainerState_CONTAINER_STATE_QUEUED, time.Now().UnixNano()
		}
		c.QueuedReason, c.Error = reason, ""
	})
}

// unqueue notes that the container does not wait any more and does not run.
func (t *task) unqueue(why string) {
	t.update(func(c *entroosv1.Container) {
		c.State = entroosv1.ContainerState_CONTAINER_STATE_EXITED
		if c.GetReceiptSequence() == 0 {
			c.State = entroosv1.ContainerState_CONTAINER_STATE_CREATED
		}
		c.Error, c.QueuedReason, c.QueuedUnixNano = why, "", 0
	})
}

// release gives the container's place back.
func (t *task) release() {
	if t.all.placer != nil {
		t.all.placer.Release(t.id)
	}
}

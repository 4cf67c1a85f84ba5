package nko

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime"
)

// Declaration is what Declare is to do beyond that.
type Declaration struct {
	// Boot starts those too that ran to their end in an earlier boot.
	Boot bool
	// Partial specs are not the ones that should hold: what is there is neither
	// removed nor replaced, and only what is missing is made.
	Partial bool
}

// Declare makes the box's declared containers those of specs, each by its name:
// one that is missing is made and started; one whose spec has changed, or whose
// image is another one by now, is stopped and replaced; one that specs do not
// have is stopped and removed. Volumes stay, those too that images ask for. A
// container that an operator has stopped stays so; one whose start has failed is
// started again, at growing intervals.
//
// The errors, one for each container that is not as specs have it, leave the
// others as they should be, and an older container of that name in place.
func (w *Workloads) Declare(ctx context.Context, specs []*entroosv1.WorkloadSpec, how Declaration) []error {
	wanted := make(map[string]*entroosv1.WorkloadSpec)
	for _, spec := range specs {
		spec = proto.CloneOf(spec)
		spec.Declared = true
		wanted[spec.GetName()] = spec
	}
	var failed []error
	for _, c := range w.List(true) {
		if _, keep := wanted[c.GetSpec().GetName()]; keep || how.Partial || !c.GetSpec().GetDeclared() {
			continue
		}
		if err := w.discard(ctx, c); err != nil {
			failed = append(failed, fmt.Errorf("workload %s, which is not declared any more: %w", c.GetSpec().GetName(), err))
		}
	}
	for _, spec := range specs {
		if ctx.Err() != nil {
			return append(failed, ctx.Err())
		}
		if err := w.declare(ctx, wanted[spec.GetName()], how); err != nil {
			failed = append(failed, fmt.Errorf("workload %s: %w", spec.GetName(), err))
		}
	}
	return failed
}

// declare makes one container what spec says.
func (w *Workloads) declare(ctx context.Context, spec *entroosv1.WorkloadSpec, how Declaration) error {
	have := w.named(spec.GetName())
	// Its image need not be there, either.
	if how.Partial && have.GetSpec().GetDeclared() && !proto.Equal(have.GetSpec(), spec) {
		return nil
	}
	workload, err := w.engine.Resolve(spec)
	if err != nil {
		return err
	}
	switch {
	case have == nil:
	case !have.GetSpec().GetDeclared():
		return fmt.Errorf("%w by a container that was made by hand; remove it, or give this one another name", ErrNameTaken)
	case proto.Equal(have.GetSpec(), spec) && have.GetImageDigest() == imageDigest(workload):
		if how.Boot && ranToItsEnd(have) {
			_, err := w.Start(have.GetId())
			return err
		}
		return w.startAgain(have.GetId())
	case how.Partial: // its image alone is another one
		return nil
	default:
		w.logger.Info("workload is replaced", "container", spec.GetName())
		if err := w.discard(ctx, have); err != nil {
			return err
		}
	}
	_, _, err = w.Run(ctx, spec, runtime.IO{})
	return err
}

// ranToItsEnd says that a container is over whose policy starts it at no boot.
func ranToItsEnd(c *entroosv1.Container) bool {
	switch c.GetSpec().GetRestart().GetMode() {
	case entroosv1.RestartPolicy_MODE_ALWAYS, entroosv1.RestartPolicy_MODE_UNLESS_STOPPED:
		return false
	}
	return c.GetState() == entroosv1.ContainerState_CONTAINER_STATE_EXITED || c.GetState() == entroosv1.ContainerState_CONTAINER_STATE_CREATED
}

// named gives the container of that name, or nil.
func (w *Workloads) named(name string) *entroosv1.Container {
	for _, t := range w.list() {
		if t.name() == name {
			return t.get()
		}
	}
	return nil
}

// discard stops a container by its own grace and removes it. One that is gone
// already is no error.
func (w *Workloads) discard(ctx context.Context, c *entroosv1.Container) error {
	_, err := w.Stop(ctx, c.GetId(), 0)
	if err == nil || errors.Is(err, ErrNotRunning) {
		err = w.Remove(ctx, c.GetId(), false)
	}
	if errors.Is(err, ErrNoContainer) {
		return nil
	}
	return err
}

package appliance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/config"
	"github.com/entroos/entroos/nko"
)

// declareAgain is the time until what could not be done is tried again.
const declareAgain = 30 * time.Second

// declared keeps the containers that the settings name.
type declared struct {
	box  *Box
	wake chan struct{} // an image has come

	resume sync.Once

	mu       sync.Mutex
	problems []string
}

// StartWorkloads resumes the containers of the last boot, imports the built-in
// images, and starts the workloads of the settings; these it keeps as the
// settings and the images change.
func (b *Box) StartWorkloads() error {
	d := &declared{box: b, wake: make(chan struct{}, 1)}
	b.mu.Lock()
	b.declared = d
	b.mu.Unlock()
	_, err := b.Supervisor.Add(nko.ServiceSpec{Name: "workloads", Run: d.Serve})
	return err
}

// ImageImported says that there is an image that was not there before.
func (b *Box) ImageImported() {
	b.mu.Lock()
	d := b.declared
	b.mu.Unlock()
	if d == nil {
		return
	}
	select {
	case d.wake <- struct{}{}:
	default: // it will look in any case
	}
}

// Problems says which workloads are not as the settings have them, and which
// built-in images could not be had.
func (d *declared) Problems() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.problems)
}

// Serve follows the settings until ctx ends.
func (d *declared) Serve(ctx context.Context) error {
	var imports []error
	boot := false
	d.resume.Do(func() {
		boot = true
		d.box.Workloads.Resume(ctx)
		imports = importBuiltIn(ctx, d.box.Runtime, d.box.Store.DB(), BuiltInImages)
	})
	for {
		holds, changed := d.box.Settings.Watch()
		if d.box.Router != nil { // nil in tests
			d.box.Router.Refresh() // the node may have other labels
		}
		failed := append(slices.Clone(imports), d.declare(ctx, holds, boot)...)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		boot = false
		d.note(failed)
		retry := time.NewTimer(declareAgain)
		if len(failed) == len(imports) {
			retry.Stop()
		}
		select {
		case <-ctx.Done():
			retry.Stop()
			return ctx.Err()
		case <-changed:
		case <-d.wake:
		case <-retry.C:
		}
		retry.Stop()
	}
}

// declare makes the containers what the settings say.
func (d *declared) declare(ctx context.Context, c *config.Config, boot bool) []error {
	var specs []*entroosv1.WorkloadSpec
	var failed []error
	for i := range c.Workloads {
		spec, err := c.Workloads[i].Spec()
		if err != nil { // the settings were checked
			failed = append(failed, fmt.Errorf("workload %s: %w", c.Workloads[i].Name, err))
			continue
		}
		specs = append(specs, spec)
	}
	return append(failed, d.box.Workloads.Declare(ctx, specs, nko.Declaration{Boot: boot, Partial: !d.box.Settings.Complete()})...)
}

func (d *declared) note(failed []error) {
	var problems []string
	for _, err := range failed {
		problems = append(problems, err.Error())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range problems {
		if !slices.Contains(d.problems, p) {
			d.box.Logger.Error("workloads", "problem", p)
		}
	}
	d.problems = problems
}

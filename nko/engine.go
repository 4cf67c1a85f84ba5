package nko

import (
	"context"
	"net/netip"
	"time"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime"
)

// Engine is what Workloads needs of package runtime.
type Engine interface {
	// Resolve makes of what was asked, and the image's own settings, what is
	// to run.
	Resolve(spec *entroosv1.WorkloadSpec) (*runtime.Workload, error)
	// Create prepares a container up to its process, which is not started.
	Create(ctx context.Context, id string, w *runtime.Workload, io runtime.IO) (Container, error)
	// Remove deletes what a container that does not run has left: its
	// writable layer and its logs.
	Remove(ctx context.Context, id string) error
	// Recover clears what an earlier life of the box has left.
	Recover(ctx context.Context) error
}

// Container is one execution in the making, under way, or ended.
type Container interface {
	// Start lets the process go. When it fails the process may be there and
	// waiting.
	Start(ctx context.Context) error
	// Done is closed when the execution has ended and its output is complete.
	Done() <-chan struct{}
	// Result is valid after Done.
	Result() runtime.Result
	Kill(ctx context.Context, signal int) error
	// Stop asks the process to end, and kills it after the grace.
	Stop(ctx context.Context, grace time.Duration) error
	Exec(ctx context.Context, spec runtime.ExecSpec, io runtime.IO) (int, error)
	Resize(rows, columns uint32) error
	PID() int
	// IP is the container's own address, or the zero Addr.
	IP() netip.Addr
	// Close gives back all but the writable layer and the logs, after Done.
	Close(ctx context.Context) error
}

// NewEngine makes an Engine of a Runtime.
func NewEngine(r *runtime.Runtime) Engine { return engine{r} }

type engine struct{ *runtime.Runtime }

func (e engine) Create(ctx context.Context, id string, w *runtime.Workload, io runtime.IO) (Container, error) {
	c, err := e.Runtime.Create(ctx, id, w, io)
	if err != nil {
		return nil, err // and no Container that is a nil pointer
	}
	return c, nil
}

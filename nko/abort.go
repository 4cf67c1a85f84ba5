package nko

import (
	"context"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime"
)

// abort ends the execution under way, if there is one, after run could not go
// on: what was made is killed, and the receipt is that of an interrupted
// execution. The container is not restarted.
func (t *task) abort(e *Execution, cause error) {
	end := &entroosv1.RunExited{ExitCode: exitNotStarted, Error: cause.Error()}
	err := Protect("abort container "+t.id, func() error {
		t.mu.Lock()
		made := t.made
		t.made = nil
		t.mu.Unlock()
		if made != nil {
			if err := Protect("discard container "+t.id, func() error { return discard(made) }); err != nil {
				t.all.logger.Error("container left something behind", "container", t.id, "error", err)
			}
		}
		t.running(nil, nil)
		t.release()
		starts, err := t.all.store.Starts()
		if err != nil {
			return err
		}
		for _, start := range starts {
			if start.Container == t.id {
				end.ExitCode = exitUnknown
				t.finish(start.interrupted(), end, e)
			}
		}
		if t.rest(); t.get().GetSpec().GetRemove() {
			return t.all.erase(context.Background(), t)
		}
		return nil
	})
	if err != nil {
		t.all.logger.Error("container's end not kept", "container", t.id, "error", err)
	}
	e.tell(end)
}

// notedEngine tells each task what was made for it, so that it can be ended
// whatever becomes of the task. A panic while it is made is an error: the start
// record is being written meanwhile, and has to be waited for.
type notedEngine struct {
	Engine
	all *Workloads
}

func (n notedEngine) Create(ctx context.Context, id string, w *runtime.Workload, io runtime.IO) (c Container, err error) {
	err = Protect("create container "+id, func() (err error) {
		c, err = n.Engine.Create(ctx, id, w, io)
		return err
	})
	n.all.mu.Lock()
	t := n.all.tasks[id]
	n.all.mu.Unlock()
	if t != nil {
		t.mu.Lock()
		t.made = c
		t.mu.Unlock()
	}
	return c, err
}

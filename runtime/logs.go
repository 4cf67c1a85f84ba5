package runtime

import (
	"context"

	"github.com/entroos/entroos/runtime/logfile"
)

// LogOptions say which part of a log is wanted.
type LogOptions struct {
	Follow bool  // go on until the execution ends
	Tail   int64 // the number of last lines; negative is all
}

// LogEntry is a piece of a container's output: as much as was written, or
// read, at once, not necessarily a line. Its data is valid during the call
// that it is given to.
type LogEntry = logfile.Entry

// Logs calls visit for what the container has written, in all its executions,
// as far as it is kept.
func (r *Runtime) Logs(ctx context.Context, id string, o LogOptions, visit func(LogEntry) error) error {
	if !idPattern.MatchString(id) {
		return invalid("container id %q", id)
	}
	r.mu.Lock()
	c := r.containers[id]
	r.mu.Unlock()
	if c != nil {
		return c.log.Read(ctx, o.Tail, o.Follow, visit)
	}
	return logfile.Read(ctx, r.logDir(id), o.Tail, visit)
}

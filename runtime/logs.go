package runtime

import (
	"context"
	"strings"

	"github.com/entroos/entroos/morphzip/store"
)

// logPrefix begins the name of the stream that has a container's log.
const logPrefix = "container/"

func logStream(id string) string { return logPrefix + id }

// Logs calls visit for what the container has written, in all its executions,
// as far as it is kept. An entry is as much as was written, or read, at once,
// not necessarily a line; its data is valid during the call. A query that
// follows ends with the execution, and at once where none is under way.
func (r *Runtime) Logs(ctx context.Context, id string, q store.Query, visit func(store.Entry) error) error {
	if !idPattern.MatchString(id) {
		return invalid("container id %q", id)
	}
	r.mu.Lock()
	q.Follow = q.Follow && r.containers[id] != nil
	r.mu.Unlock()
	return r.logs.Read(ctx, logStream(id), q, visit)
}

// recoverLogs removes the logs of containers that are not recorded.
func (r *Runtime) recoverLogs(recorded map[string]bool) error {
	streams, err := r.logs.Streams()
	if err != nil {
		return err
	}
	for _, s := range streams {
		id, ok := strings.CutPrefix(s.Name, logPrefix)
		if !ok || recorded[id] {
			continue
		}
		if err := r.logs.Remove(s.Name); err != nil {
			return err
		}
	}
	return nil
}

package runtime

import (
	"context"
	"fmt"
	"sync"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/runtime/logfile"
)

const (
	// Of so many executions at most it is known what they have written, and what
	// of that the log has: the last ones, with so many bytes each.
	writtenKept  = 8
	writtenBytes = 1 << 20
)

// written is what the last execution of a container has written, all of which
// its log has.
type written struct {
	container      string
	span           logfile.Span
	stdout, stderr equations.Digest
}

// lastWritten are those of containers that do not run, the oldest first.
type lastWritten struct {
	mu  sync.Mutex
	all []written
}

func (l *lastWritten) add(w written) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, w)
	if len(l.all) > writtenKept {
		l.all = l.all[1:]
	}
}

// forget is for a container whose log changes.
func (l *lastWritten) forget(container string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range l.all {
		if w.container == container {
			l.all = append(l.all[:i:i], l.all[i+1:]...)
			return
		}
	}
}

// LogFacts reads the logs of the last executions that are stored whole, and
// compares the digests (equation 45) of what was written with those of what is
// stored. An error is one of the disk.
func (r *Runtime) LogFacts(ctx context.Context) ([]equations.LogFacts, error) {
	// Who begins to write to one of these logs, or removes it, waits.
	r.written.mu.Lock()
	defer r.written.mu.Unlock()
	var facts []equations.LogFacts
	for _, w := range r.written.all {
		stdout, stderr := equations.NewOutputDigest(), equations.NewOutputDigest()
		err := logfile.ReadSpan(ctx, r.logDir(w.container), w.span, func(e logfile.Entry) error {
			if e.Stream == logfile.Stderr {
				stderr.Write(e.Data)
			} else {
				stdout.Write(e.Data)
			}
			return nil
		})
		if err != nil {
			return facts, fmt.Errorf("log of container %s: %w", w.container, err)
		}
		facts = append(facts,
			equations.LogFacts{Container: w.container, Stream: "stdout", Written: w.stdout, Stored: equations.Digest(stdout.Sum(nil))},
			equations.LogFacts{Container: w.container, Stream: "stderr", Written: w.stderr, Stored: equations.Digest(stderr.Sum(nil))})
	}
	return facts, nil
}

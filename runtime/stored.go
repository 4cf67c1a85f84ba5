package runtime

import (
	"context"
	"fmt"
	"sync"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/morphzip/store"
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
	from, to       uint64 // sequence numbers; nothing was written if from is above to
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
		stdout, stderr, whole, err := r.storedDigests(ctx, w)
		if err != nil {
			return facts, fmt.Errorf("log of container %s: %w", w.container, err)
		}
		if !whole {
			continue
		}
		facts = append(facts,
			equations.LogFacts{Container: w.container, Stream: "stdout", Written: w.stdout, Stored: stdout},
			equations.LogFacts{Container: w.container, Stream: "stderr", Written: w.stderr, Stored: stderr})
	}
	return facts, nil
}

// storedDigests reads what is stored of an execution's output. It is not whole
// where its beginning was dropped, as the oldest is.
func (r *Runtime) storedDigests(ctx context.Context, w written) (stdout, stderr equations.Digest, whole bool, err error) {
	out, errs := equations.NewOutputDigest(), equations.NewOutputDigest()
	whole = w.from > w.to // there was none
	if !whole {
		err = r.logs.Read(ctx, logStream(w.container), store.Query{From: w.from, To: w.to, Tail: -1}, func(e store.Entry) error {
			whole = whole || e.Sequence == w.from
			if e.Kind == store.Stderr {
				errs.Write(e.Data)
			} else {
				out.Write(e.Data)
			}
			return nil
		})
	}
	return equations.Digest(out.Sum(nil)), equations.Digest(errs.Sum(nil)), whole, err
}

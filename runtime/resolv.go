package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// resolver keeps two copies of the box's resolv.conf up to date in place, so
// that containers into which they are mounted see the box's changes: the lease
// may come after a container has started.
type resolver struct {
	source string // the box's
	dir    string
	mu     sync.Mutex
}

// whole is the box's file as it is, for containers in the box's own network.
func (r *resolver) whole() string { return filepath.Join(r.dir, "resolv.host.conf") }

// reachable lacks the name servers that listen on the box's loopback only
// (0.0.0.0 is the box itself, too), which containers in networks of their own
// cannot reach.
func (r *resolver) reachable() string { return filepath.Join(r.dir, "resolv.conf") }

// refresh copies the box's file. When it is not there, the copies are empty.
func (r *resolver) refresh() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	content, err := os.ReadFile(r.source)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(overwrite(r.whole(), content), overwrite(r.reachable(), withoutLoopback(content)))
}

// overwrite changes a file's content and keeps the file.
func overwrite(name string, content []byte) error {
	if have, err := os.ReadFile(name); err == nil && bytes.Equal(have, content) {
		return nil
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	return errors.Join(err, f.Truncate(int64(len(content))), f.Chmod(0o644), f.Close())
}

func withoutLoopback(content []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(content) {
		if f := strings.Fields(string(line)); len(f) > 1 && f[0] == "nameserver" {
			if a, err := netip.ParseAddr(f[1]); err == nil && (a.Unmap().IsLoopback() || a.Unmap().IsUnspecified()) {
				continue
			}
		}
		kept = append(kept, line...)
	}
	return kept
}

// serve refreshes the copies whenever the box's file changes.
func (r *resolver) serve(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", r.source, err)
	}
	defer w.Close()
	// The file may be a symbolic link, and is replaced by renaming: folders
	// are watched, not the file.
	watched := make(map[string]bool)
	for _, name := range []string{r.source, linkTarget(r.source)} {
		dir := filepath.Dir(name)
		if watched[dir] {
			continue
		}
		watched[dir] = true
		if err := w.Add(dir); err != nil {
			return fmt.Errorf("watch %s: %w", dir, err)
		}
	}
	for {
		if err := r.refresh(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-w.Events:
			for filepath.Base(e.Name) != filepath.Base(r.source) && filepath.Base(e.Name) != filepath.Base(linkTarget(r.source)) {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case e = <-w.Events:
				case err := <-w.Errors:
					return err
				}
			}
		case err := <-w.Errors:
			return err
		}
	}
}

// linkTarget is where the link name points to, whether anything is there or
// not, or name itself.
func linkTarget(name string) string {
	target, err := os.Readlink(name)
	if err != nil {
		return name
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(name), target)
	}
	return target
}

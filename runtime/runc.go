package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/go-runc"
)

// runcError says why runc failed, in its own words when it left any: in its
// log, or, before it had one, on standard error.
func runcError(err error, log, complaint string) error {
	if message := lastError(log); message != "" {
		return errors.New(message)
	}
	if complaint = strings.TrimSpace(complaint); complaint != "" {
		return fmt.Errorf("%w: %s", err, complaint)
	}
	return err
}

// lastError gives the last error in a log of runc's.
func lastError(log string) string {
	raw, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	message := ""
	for line := range bytes.Lines(raw) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(line, &entry) == nil && (entry.Level == "error" || entry.Level == "fatal") {
			message = strings.TrimPrefix(entry.Msg, "runc create failed: ")
		}
	}
	return message
}

// readNow reads what is there, without waiting for more.
func readNow(f *os.File, buffer []byte) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	if readErr := raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), buffer)
		return true
	}); readErr != nil {
		return 0, readErr
	}
	return max(0, n), err
}

// deleteTime bounds what runc may take to delete a container.
const deleteTime = 30 * time.Second

// deleteContainer ends what there is of the container, whatever its state, and
// has runc forget it. For one that has ended, `runc delete` would do no more
// than is done here without starting it.
func (r *Runtime) deleteContainer(c *Container) error {
	ctx, cancel := context.WithTimeout(context.Background(), deleteTime)
	defer cancel()
	state := filepath.Join(r.state(), c.id)
	var err error
	select {
	case <-c.done:
	default:
		if _, statErr := os.Stat(state); statErr == nil {
			if err = r.runc(c.bundle).Delete(ctx, c.id, &runc.DeleteOpts{Force: true}); err != nil {
				err = runcError(err, c.bundle.runcLog(), "")
			}
		}
	}
	return errors.Join(err, removeCgroup(ctx, cgroupDir(r.cgroup(c.id))), os.RemoveAll(state))
}

// removeCgroup kills what runs in a cgroup and those below it, and removes
// them.
func removeCgroup(ctx context.Context, dir string) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("kill what is in a cgroup: %w", err)
	}
	const pause = 5 * time.Millisecond
	for {
		err := removeTree(dir)
		if err == nil || !errors.Is(err, syscall.EBUSY) {
			return err
		}
		select { // killed processes leave when they are next scheduled
		case <-ctx.Done():
			return fmt.Errorf("processes in %s do not end: %w", dir, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// removeTree removes cgroups, whose files go with them.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	err = syscall.Rmdir(dir)
	if err == nil || errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
}

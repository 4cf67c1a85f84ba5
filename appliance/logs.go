package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/entroos/entroos/morphzip/store"
	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/runtime/space"
	"github.com/entroos/entroos/runtime/tree"
)

const (
	logsFile = "logs.db"
	// damagedLogs is where a file of logs that cannot be read is put. There is
	// one at most: a disk that damages each must not be filled by them.
	damagedLogs = "logs.db.damaged"
	// logsDelay is how long lines wait to be written together: a box that logs
	// a line a second writes its disk twelve times a minute. What a power cut
	// takes is no more than what ext4 itself may hold back.
	logsDelay = 5 * time.Second
)

// OpenLogs opens the store of all logs beside the records, and has the services'
// and PID 1's own kept there. A file that cannot be read is put aside, and logs
// begin anew; where the disk takes none, they are in memory. What is wrong
// becomes a problem of the box.
func (b *Box) OpenLogs() error {
	logs, err := b.openLogs(filepath.Join(b.state, "logs"))
	if err != nil {
		b.Problem(fmt.Errorf("logs are kept in memory only and lost at the next boot: %w", err))
		if logs, err = b.openLogs(filepath.Join(RunPath, "logs")); err != nil {
			return fmt.Errorf("no containers, and of services the last lines only: %w", err)
		}
	}
	b.Logs = logs
	mark := fmt.Sprintf("-- EntroOS %s starts, %s --", OSVersion(), time.Now().UTC().Format(time.RFC3339))
	b.Supervisor.KeepLogs(logs, mark)
	b.Log.Keep(logs, nko.ServiceStream(initService), mark, func(err error) {
		b.Logger.Warn("the log of PID 1 is in memory only", "error", err)
	})
	return nil
}

// openLogs opens the store in a folder, which is made if it is not there.
func (b *Box) openLogs(folder string) (*store.Store, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	b.removeOldLogs(folder)
	path := filepath.Join(folder, logsFile)
	options := store.Options{
		Go:         nko.Go,
		Warn:       func(err error) { b.Logger.Warn("logs", "error", err) },
		Room:       func() (int64, error) { return space.Left(folder) },
		FlushDelay: logsDelay,
	}
	logs, err := store.Open(path, options)
	if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrVersion) {
		return logs, err
	}
	aside := filepath.Join(folder, damagedLogs)
	if rerr := errors.Join(os.Rename(path, aside), syncFolder(folder)); rerr != nil {
		return nil, errors.Join(err, rerr)
	}
	b.Problem(fmt.Errorf("the logs of earlier boots cannot be read, are put aside as %s, and begin anew: %w", aside, err))
	return store.Open(path, options)
}

// removeOldLogs removes what versions without a store kept: a folder a container.
func (b *Box) removeOldLogs(folder string) {
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, tree.Remove(filepath.Join(folder, e.Name())))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.Logger.Warn("logs of an earlier version take up room", "error", err)
	}
}

// closeLogs ends all logs, at the end of the box: what was logged before is on
// disk when it returns nil.
func (b *Box) closeLogs(ctx context.Context) error {
	b.Log.Close()
	return errors.Join(b.Supervisor.CloseLogs(ctx), b.Log.Kept(ctx), b.Logs.Close())
}

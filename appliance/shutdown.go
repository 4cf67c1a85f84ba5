package appliance

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/nko"
)

const (
	stopContainers = 30 * time.Second // until containers are killed
	drainOutbox    = 5 * time.Second  // for receipts to reach the ledger
)

// Shutdown ends the box in order: containers, whose receipts are written and
// given a moment to reach the ledger; services; disks. It returns only when the
// kernel refuses.
func (b *Box) Shutdown(a Action, dog *Watchdog) error {
	verb := map[Action]string{Reboot: "rebooting", PowerOff: "powering off"}[a]
	b.Logger.Info("shutdown", "action", verb)
	b.step("announcement", 5*time.Second, dog, func(context.Context) error { b.Announce("entroos: %s", verb); return nil })
	b.step("start", endOfStart, dog, b.endStart)
	// A start that cannot be ended has parts that nobody else may look at; no
	// container runs before its end.
	begun := b.hasBegun()
	if begun && b.Workloads != nil {
		b.step("containers", stopContainers, dog, b.Workloads.Close)
		b.step("receipts", drainOutbox, dog, b.Outbox.Drained)
	}
	b.step("services", time.Minute, dog, func(context.Context) error { b.Supervisor.Stop(); return nil })
	b.step("processes", 5*time.Second, dog, b.killAll)
	if begun && b.Logs != nil {
		b.step("logs", 10*time.Second, dog, b.closeLogs)
	}
	if begun && b.Store != nil {
		b.step("records", 10*time.Second, dog, func(context.Context) error { return b.Store.Close() })
	}
	if begun && b.Boots != nil {
		if dog != nil {
			dog.OnHunger(func(error) {}) // from here on it is no news
		}
		b.step("boot log", 10*time.Second, dog, func(context.Context) error { return b.Boots.End(a) })
	}
	b.step("disks", 30*time.Second, dog, func(context.Context) error { return releaseDisks() })
	if dog != nil {
		b.step("watchdogs", 5*time.Second, nil, func(context.Context) error { return dog.Disarm() })
	}
	return halt(a)
}

// step does one part of the shutdown, in at most that time. A part that fails or
// hangs must not keep the box up.
func (b *Box) step(what string, most time.Duration, dog *Watchdog, f func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	done := make(chan error, 1)
	nko.Go("shutdown: "+what, func() {
		done <- nko.Protect("shutdown: "+what, func() error { return f(ctx) })
	})
	// Closing the doors takes as long as it takes, but not for ever: fed by the
	// clock from here on, the watchdogs bite when this loop itself hangs.
	feed := time.NewTicker(watchdogInterval)
	defer feed.Stop()
	late := time.After(most + time.Second)
	for {
		select {
		case err := <-done:
			if err != nil {
				b.Logger.Warn("shutdown", "step", what, "error", err)
			}
			return
		case <-late:
			b.Logger.Error("shutdown: a step hangs and is left", "step", what)
			return
		case <-feed.C:
			if dog != nil {
				dog.keepAlive()
			}
		}
	}
}

// killAll ends every process but this one and the kernel's.
func (b *Box) killAll(ctx context.Context) error {
	if err := unix.Kill(-1, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill all: %w", err)
	}
	return b.Reaper.Childless(ctx)
}

// releaseDisks unmounts the box's partitions. What is still in use becomes
// read-only.
func releaseDisks() error {
	unix.Sync()
	var failed []error
	for _, path := range []string{PermPath, SettingsPath, ESPPath} {
		err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW)
		if err == nil || errors.Is(err, unix.EINVAL) { // not mounted
			continue
		}
		if rerr := unix.Mount("", filepath.Clean(path), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); rerr != nil {
			failed = append(failed, fmt.Errorf("unmount %s: %w; make it read-only: %w", path, err, rerr))
		}
	}
	unix.Sync()
	return errors.Join(failed...)
}

func halt(a Action) error {
	command := unix.LINUX_REBOOT_CMD_RESTART
	if a == PowerOff {
		command = unix.LINUX_REBOOT_CMD_POWER_OFF
	}
	if err := unix.Reboot(command); err != nil {
		return fmt.Errorf("reboot: %w", err)
	}
	return errors.New("reboot: the kernel goes on")
}

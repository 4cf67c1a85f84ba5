package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/u-root/u-root/pkg/watchdog"
	"golang.org/x/sys/unix"
)

const (
	watchdogInterval = 5 * time.Second // between feeds, at most
	watchdogPatience = 4 * time.Second // for the health to answer
	// watchdogTimeout is how long a stuck box stays so: a busy one answers
	// late, and may miss some meals.
	watchdogTimeout = 30 * time.Second
	// softdogTimeout is that of the kernel's own watchdog, which panics: where
	// there is one of hardware, that comes first, as it needs no kernel.
	softdogTimeout = 45 * time.Second
)

// Watchdog feeds every watchdog of the box as long as the box's health says
// so. When it stops saying so, the box is reset.
type Watchdog struct {
	interval time.Duration
	fired    bool
	health   func(context.Context) error
	logger   *slog.Logger

	open    sync.Mutex // guards devices
	devices []*watchdog.Watchdog

	mu       sync.Mutex
	hungry   bool
	onHunger func(reason error)
}

// OpenWatchdogs opens /dev/watchdog0 and its like; from now on they want to be
// fed. health is asked before each feed and must answer within four seconds.
func OpenWatchdogs(health func(context.Context) error, logger *slog.Logger) (*Watchdog, error) {
	w := &Watchdog{health: health, logger: logger, interval: watchdogInterval, onHunger: func(error) {}}
	// /dev/watchdog is the first of the numbered ones.
	names, err := filepath.Glob("/dev/watchdog[0-9]*")
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, name := range names {
		d, err := watchdog.Open(name)
		if err != nil {
			failed = append(failed, fmt.Errorf("watchdog: %w", err))
			continue
		}
		w.devices = append(w.devices, d)
		timeout, err := setTimeout(d)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: timeout: %w", name, err))
		} else {
			w.interval = min(w.interval, timeout/3)
		}
		// Not every driver knows why the machine started.
		status, err := d.BootStatus()
		if err == nil && status != watchdog.StatusUnknown && status&watchdog.StatusCardReset != 0 {
			w.fired = true
		}
		logger.Info("watchdog open", "device", name, "timeout", timeout, "has_reset_the_box", w.fired)
	}
	return w, errors.Join(failed...)
}

// setTimeout gives the watchdog's timeout, after it was set where it can be.
func setTimeout(d *watchdog.Watchdog) (time.Duration, error) {
	// u-root's SetTimeout hands nanoseconds to the kernel, which wants seconds.
	const wdiocSetTimeout = 0xc0045706 // linux/watchdog.h
	wanted := watchdogTimeout
	if info, err := d.Support(); err == nil && unix.ByteSliceToString(info.Identity[:]) == "Software Watchdog" {
		wanted = softdogTimeout
	}
	err := unix.IoctlSetPointerInt(int(d.Fd()), wdiocSetTimeout, int(wanted/time.Second))
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
		return 0, err
	}
	return d.Timeout()
}

// Fired says that one of the watchdogs tells of having reset the box before
// this boot.
func (w *Watchdog) Fired() bool { return w.fired }

// OnHunger has f called with the reason when the watchdogs are no longer fed,
// and with nil when they are again. f must not wait for anything.
func (w *Watchdog) OnHunger(f func(reason error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onHunger = f
}

// Serve feeds until ctx ends. The watchdogs stay open and hungry after that, so
// that a hang in the shutdown resets the box too: Disarm comes last.
func (w *Watchdog) Serve(ctx context.Context) error {
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	for {
		w.Feed(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Feed feeds once, if the box is healthy.
func (w *Watchdog) Feed(ctx context.Context) {
	if !w.armed() {
		return
	}
	healthCtx, cancel := context.WithTimeout(ctx, watchdogPatience)
	defer cancel()
	err := w.health(healthCtx)
	if ctx.Err() != nil {
		return // the box stops in order, and feeds by other means
	}
	if w.note(err); err != nil {
		w.logger.Error("the watchdogs are not fed", "reason", err)
		return
	}
	w.keepAlive()
}

// note tells onHunger of a change.
func (w *Watchdog) note(err error) {
	w.mu.Lock()
	changed := w.hungry != (err != nil)
	w.hungry = err != nil
	tell := w.onHunger
	w.mu.Unlock()
	if changed {
		tell(err)
	}
}

func (w *Watchdog) armed() bool {
	w.open.Lock()
	defer w.open.Unlock()
	return len(w.devices) > 0
}

func (w *Watchdog) keepAlive() {
	w.open.Lock()
	defer w.open.Unlock()
	for _, d := range w.devices {
		if err := d.KeepAlive(); err != nil {
			w.logger.Error("watchdog not fed", "device", d.Name(), "error", err)
		}
	}
}

// Disarm closes the watchdogs so that they do not reset the box.
func (w *Watchdog) Disarm() error {
	w.open.Lock()
	defer w.open.Unlock()
	var failed []error
	for _, d := range w.devices {
		if err := d.MagicClose(); err != nil {
			failed = append(failed, err)
		}
	}
	w.devices = nil
	return errors.Join(failed...)
}

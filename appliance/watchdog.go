package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/u-root/u-root/pkg/watchdog"
)

const (
	watchdogInterval = 5 * time.Second // between feeds
	watchdogPatience = 4 * time.Second // for the health to answer
)

// Watchdog feeds every watchdog of the box as long as the box's health says
// so. When it stops saying so, the box is reset.
type Watchdog struct {
	devices []*watchdog.Watchdog
	health  func(context.Context) error
	logger  *slog.Logger
}

// OpenWatchdogs opens /dev/watchdog0 and its like; from now on they want to be
// fed. health is asked before each feed and must answer within four seconds.
func OpenWatchdogs(health func(context.Context) error, logger *slog.Logger) (*Watchdog, error) {
	w := &Watchdog{health: health, logger: logger}
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
		timeout, err := d.Timeout()
		if err == nil && timeout < 3*watchdogInterval {
			// Not all can be set; fed every 5 s they are safe anyway as
			// long as they wait longer.
			err = d.SetTimeout(4 * watchdogInterval)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: timeout: %w", name, err))
		}
		logger.Info("watchdog open", "device", name, "timeout", timeout)
		w.devices = append(w.devices, d)
	}
	return w, errors.Join(failed...)
}

// Serve feeds until ctx ends. The watchdogs stay open and hungry after that, so
// that a hang in the shutdown resets the box too: Disarm comes last.
func (w *Watchdog) Serve(ctx context.Context) error {
	tick := time.NewTicker(watchdogInterval)
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
	if len(w.devices) == 0 {
		return
	}
	healthCtx, cancel := context.WithTimeout(ctx, watchdogPatience)
	defer cancel()
	if err := w.health(healthCtx); err != nil {
		w.logger.Error("the watchdogs are not fed", "reason", err)
		return
	}
	w.keepAlive()
}

func (w *Watchdog) keepAlive() {
	for _, d := range w.devices {
		if err := d.KeepAlive(); err != nil {
			w.logger.Error("watchdog not fed", "device", d.Name(), "error", err)
		}
	}
}

// Disarm closes the watchdogs so that they do not reset the box.
func (w *Watchdog) Disarm() error {
	var failed []error
	for _, d := range w.devices {
		if err := d.MagicClose(); err != nil {
			failed = append(failed, err)
		}
	}
	w.devices = nil
	return errors.Join(failed...)
}

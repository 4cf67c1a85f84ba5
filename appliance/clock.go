package appliance

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ClockFloor makes sure that the clock is not before the newest of the given
// files' times. A box without a battery wakes up in 1970 or at its build: then
// certificates do not verify, and time would run backwards between two blocks
// of the ledger. A file that does not exist counts for nothing.
func ClockFloor(files ...string) error {
	var floor time.Time
	for _, name := range files {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(floor) {
			floor = info.ModTime()
		}
	}
	if !time.Now().Before(floor) {
		return nil
	}
	tv := unix.NsecToTimeval(floor.UnixNano())
	if err := unix.Settimeofday(&tv); err != nil {
		return fmt.Errorf("set the clock to %v: %w", floor, err)
	}
	return nil
}

// SinceKernelStart is the time since the kernel's start.
func SinceKernelStart() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("clock_gettime: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

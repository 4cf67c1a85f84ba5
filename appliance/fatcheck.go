package appliance

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/appliance/bootslot"
	"github.com/entroos/entroos/appliance/fat"
)

// mendFAT checks one of the box's FAT partitions, which is not mounted, and mends
// what a power cut did to it. The error is what the operator has to know; a
// partition that is no FAT is left to the mount, which tells.
func mendFAT(device string) error {
	begin := time.Now()
	// Exclusive: not while it is mounted.
	f, err := os.OpenFile(device, os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return fmt.Errorf("%s is not checked: %w", device, err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("%s is not checked: %w", device, err)
	}
	report, err := fat.Mend(f, size, fat.Rules{Precious: bootslot.Precious, Later: laterName})
	if errors.Is(err, fat.ErrNotFAT) || errors.Is(err, fat.ErrTooLarge) {
		slog.Warn("not checked", "device", device, "error", err)
		return nil
	}
	for _, fault := range report.Faults {
		slog.Warn("damage", "device", device, "what", fault.String())
	}
	slog.Info("checked", "device", device, "dirty", report.Dirty, "faults", len(report.Faults)+report.More, "took", time.Since(begin).Round(time.Millisecond))
	if err != nil {
		return fmt.Errorf("%s is damaged and could not be mended: %w", device, err)
	}
	for _, fault := range report.Faults {
		if fault.Left {
			return fmt.Errorf("%s is damaged: %s; copy that file anew, or flash the disk", device, fault)
		}
	}
	return nil
}

// laterName says that of two names for one file, which a power cut within a
// rename leaves, a is the rename's result: a UKI's, or that of the settings.
func laterName(a, b string) bool {
	return strings.EqualFold(a, ownName) || bootslot.Later(a, b)
}

package appliance

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/entroos/entroos/appliance/blockdev"
	"github.com/entroos/entroos/nko"
)

// twinInterval is the time between two looks for twins.
const twinInterval = 15 * time.Second

// twinWatch looks for disks that claim to be the box's own and came after it was
// mounted.
type twinWatch struct {
	sizes map[string]int64 // of the block devices that are hardware, by name, at the last look

	mu      sync.Mutex
	problem string
}

// StartTwinWatch has the box look for twins of its disk, when it has one. A disk
// that is dying may take for ever to read: nobody but this service waits for it.
func (b *Box) StartTwinWatch() error {
	if b.Storage.Disk == nil || b.Storage.Data == "" {
		return nil
	}
	_, err := b.Supervisor.Add(nko.ServiceSpec{Name: "twins", Run: func(ctx context.Context) error {
		tick := time.NewTicker(twinInterval)
		defer tick.Stop()
		for {
			b.twins.look(b.Storage.Disk, "/sys", "/dev")
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	}})
	return err
}

// Problem says what was wrong at the last look.
func (w *twinWatch) Problem() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.problem
}

// look looks at the disks that are there now. As long as no device or medium
// comes or goes it reads no disk.
func (w *twinWatch) look(own *Disk, sys, dev string) {
	entries, err := os.ReadDir(filepath.Join(sys, "class/block"))
	if err != nil {
		return
	}
	scan := blockScan{sys: sys, dev: dev, tables: make(map[string][]string)}
	sizes := make(map[string]int64)
	for _, e := range entries {
		if blockdev.Virtual(e.Name()) {
			continue
		}
		sizes[e.Name()] = scan.size(e.Name())
	}
	if maps.Equal(sizes, w.sizes) {
		return
	}
	found, err := scan.holders(own.BootPartition)
	if err != nil {
		return
	}
	w.sizes = sizes
	found = slices.DeleteFunc(found, func(name string) bool { return name == filepath.Base(own.Device) })
	problem := ""
	if len(found) > 0 {
		problem = fmt.Sprintf("%s is a copy of this box's own disk %s: unplug it, or the next boot cannot tell which of them is the box's",
			filepath.Join(dev, strings.Join(found, ", ")), own.Device)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problem = problem
}

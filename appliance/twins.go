package appliance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// twinWatch looks for disks that claim to be the box's own and came after it was
// mounted.
type twinWatch struct {
	mu      sync.Mutex
	names   []string // of the block devices at the last look
	problem string
}

// look says what is wrong with the disks that are there now. As long as no
// device comes or goes it costs one reading of a folder.
func (w *twinWatch) look(own *Disk, sys, dev string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	entries, err := os.ReadDir(filepath.Join(sys, "class/block"))
	if err != nil {
		return w.problem
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	if slices.Equal(names, w.names) {
		return w.problem
	}
	scan := blockScan{sys: sys, dev: dev, tables: make(map[string][]string)}
	found, err := scan.holders(own.BootPartition)
	if err != nil {
		return w.problem
	}
	w.names, w.problem = names, ""
	found = slices.DeleteFunc(found, func(name string) bool { return name == filepath.Base(own.Device) })
	if len(found) > 0 {
		w.problem = fmt.Sprintf("%s is a copy of this box's own disk %s: unplug it, or the next boot cannot tell which of them is the box's",
			filepath.Join(dev, strings.Join(found, ", ")), own.Device)
	}
	return w.problem
}

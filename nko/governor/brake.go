package governor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Bounds of the brake on admission. Tasks that all wait for memory are stalled
// by its want on the box, or by a limit of their own container's: only where the
// workloads have next to none left is it the box's.
const (
	brakeAbove    = 0.2  // of the time all tasks were stalled: nothing new begins
	releaseBelow  = 0.1  // and begins again
	memoryReserve = 0.15 // of the workloads' memory: less is next to none
)

// brake holds back new placements.
type brake struct {
	why      string        // empty: it does not
	released chan struct{} // closed while it does not
}

func newBrake() brake {
	b := brake{released: make(chan struct{})}
	close(b.released)
	return b
}

func (b *brake) held() bool { return b.why != "" }

// Brake says whether new placements are held back, why, and gives a channel
// that is closed when they no longer are.
func (g *Governor) Brake() (why string, released <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.brake.why, g.brake.released
}

// applyBrake follows the share of the time in which all tasks waited for memory
// (equation 33).
func (g *Governor) applyBrake(share float64) error {
	if share < releaseBelow || !g.brake.held() && share <= brakeAbove {
		g.releaseBrake()
		return nil
	}
	left, of, err := g.memoryLeft()
	if err != nil {
		return err
	}
	if float64(left) >= memoryReserve*float64(of) {
		g.releaseBrake()
		return nil
	}
	if !g.brake.held() {
		g.brake.released = make(chan struct{})
	}
	g.brake.why = fmt.Sprintf("the box is short of memory: all tasks waited for it %.0f %% of the time, and %d MiB are left for workloads; stop one, or give one a lower limit", share*100, left>>20)
	return nil
}

func (g *Governor) releaseBrake() {
	if g.brake.held() {
		g.brake.why = ""
		close(g.brake.released)
	}
}

// memoryLeft is the memory that workloads could still have, of how much. What
// the kernel would give back for the asking is no use of it.
func (g *Governor) memoryLeft() (left, of uint64, err error) {
	dir := g.cgroups.workloads()
	if of, err = readLimit(filepath.Join(dir, "memory.max")); err != nil {
		return 0, 0, err
	}
	used, err := readLimit(filepath.Join(dir, "memory.current"))
	if err != nil {
		return 0, 0, err
	}
	given, err := sumOf(filepath.Join(dir, "memory.stat"), 1, "active_file", "inactive_file", "slab_reclaimable")
	if err != nil {
		return 0, 0, err
	}
	available, err := sumOf(filepath.Join(g.config.Proc, "meminfo"), 1<<10, "MemAvailable:")
	if err != nil {
		return 0, 0, err
	}
	if of == 0 { // no limit
		if of, err = sumOf(filepath.Join(g.config.Proc, "meminfo"), 1<<10, "MemTotal:"); err != nil {
			return 0, 0, err
		}
	}
	used -= min(given, used)
	return min(available, of-min(used, of)), of, nil
}

// sumOf adds up the numbers after these keys, of a unit in bytes.
func sumOf(name string, unit uint64, keys ...string) (sum uint64, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		for _, key := range keys {
			if len(fields) < 2 || fields[0] != key {
				continue
			}
			n, err := strconv.ParseUint(fields[1], 10, 54)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			sum += n * unit
			found++
		}
	}
	if found != len(keys) {
		return 0, fmt.Errorf("%s does not tell all of %q", name, keys)
	}
	return sum, nil
}

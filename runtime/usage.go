package runtime

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// readUsage reads what the processes in a cgroup consumed. What cannot be read
// is NotMeasured.
func readUsage(cgroup string, wall time.Duration) Usage {
	u := Usage{
		CPUUserMicros: NotMeasured, CPUSystemMicros: NotMeasured,
		MemoryPeakBytes: readNumber(filepath.Join(cgroup, "memory.peak")),
		PidsPeak:        readNumber(filepath.Join(cgroup, "pids.peak")),
		WallMicros:      uint64(max(0, wall.Microseconds())),
	}
	if stat, err := readFlat(filepath.Join(cgroup, "cpu.stat")); err == nil {
		u.CPUUserMicros = figure(stat, "user_usec")
		u.CPUSystemMicros = figure(stat, "system_usec")
	}
	u.IOReadBytes, u.IOWriteBytes = readIO(filepath.Join(cgroup, "io.stat"))
	return u
}

// since takes away what was consumed before: peaks stay, the rest is the
// difference.
func (u Usage) since(before Usage) Usage {
	for _, f := range []struct {
		now    *uint64
		before uint64
	}{
		{&u.CPUUserMicros, before.CPUUserMicros},
		{&u.CPUSystemMicros, before.CPUSystemMicros},
		{&u.IOReadBytes, before.IOReadBytes},
		{&u.IOWriteBytes, before.IOWriteBytes},
	} {
		if *f.now != NotMeasured && f.before != NotMeasured {
			*f.now -= min(*f.now, f.before)
		}
	}
	return u
}

// readNumber reads a file that holds one number.
func readNumber(name string) uint64 {
	raw, err := os.ReadFile(name)
	if err != nil {
		return NotMeasured
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(raw)), 10, 64)
	if err != nil {
		return NotMeasured
	}
	return n
}

func figure(stat map[string]uint64, key string) uint64 {
	if n, ok := stat[key]; ok {
		return n
	}
	return NotMeasured
}

// readFlat reads a file of lines "key number".
func readFlat(name string) (map[string]uint64, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	stat := make(map[string]uint64)
	for line := range bytes.Lines(raw) {
		if f := strings.Fields(string(line)); len(f) == 2 {
			if n, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				stat[f[0]] = n
			}
		}
	}
	return stat, nil
}

// readIO adds up io.stat's lines, one a device: "8:0 rbytes=1 wbytes=2 ...".
// No line is no I/O.
func readIO(name string) (read, written uint64) {
	f, err := os.Open(name)
	if err != nil {
		return NotMeasured, NotMeasured
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		for _, field := range strings.Fields(lines.Text()) {
			key, value, _ := strings.Cut(field, "=")
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				continue
			}
			switch key {
			case "rbytes":
				read += n
			case "wbytes":
				written += n
			}
		}
	}
	if lines.Err() != nil {
		return NotMeasured, NotMeasured
	}
	return read, written
}

// oomKilled says whether the kernel killed a process in the cgroup, or below
// it, for want of memory.
func oomKilled(cgroup string) (bool, error) {
	events, err := readFlat(filepath.Join(cgroup, "memory.events"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // no memory controller, no limit
	}
	return events["oom_kill"] > 0, err
}

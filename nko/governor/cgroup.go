package governor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups are the box's, of which the workloads' are one branch.
type cgroups struct{ root string }

func (c cgroups) workloads() string          { return filepath.Join(c.root, "workloads") }
func (c cgroups) container(id string) string { return filepath.Join(c.root, "workloads", id) }

// quota is that of cpu.max. Without a quota, 0, there is no limit.
type quota struct{ quota, period time.Duration }

// limit gives the workloads a quota, and returns what the kernel then holds.
func (c cgroups) limit(q quota) (quota, error) {
	name := filepath.Join(c.workloads(), "cpu.max")
	if err := write(name, fmt.Sprintf("%d %d", q.quota.Microseconds(), q.period.Microseconds())); err != nil {
		return quota{}, err
	}
	held, err := readQuota(name)
	if err == nil && held != q {
		err = fmt.Errorf("%s holds %v, not %v", name, held, q)
	}
	return held, err
}

// unlimited takes the workloads' quota away.
func (c cgroups) unlimited() error { return write(filepath.Join(c.workloads(), "cpu.max"), "max") }

// write writes to a file of the kernel's.
func write(name, text string) error { return os.WriteFile(name, []byte(text), 0o644) }

func readQuota(name string) (quota, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return quota{}, err
	}
	fields := strings.Fields(string(text))
	if len(fields) != 2 {
		return quota{}, fmt.Errorf("%s: %q is no quota", name, text)
	}
	var q quota
	if fields[0] != "max" {
		if q.quota, err = micros(fields[0]); err != nil {
			return quota{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if q.period, err = micros(fields[1]); err != nil {
		return quota{}, fmt.Errorf("%s: %w", name, err)
	}
	return q, nil
}

func micros(text string) (time.Duration, error) {
	n, err := strconv.ParseUint(text, 10, 53)
	return time.Duration(n) * time.Microsecond, err
}

// cpuStat is what a cgroup's cpu.stat tells.
type cpuStat struct {
	usage      time.Duration
	throttling throttling
}

// throttling is in how many periods a cgroup could have run out of its quota,
// and did.
type throttling struct{ periods, throttled uint64 }

// since is what has come since before. Of a cgroup whose quota was taken away
// and given again, the kernel goes on counting.
func (t throttling) since(before throttling) throttling {
	return throttling{t.periods - min(before.periods, t.periods), t.throttled - min(before.throttled, t.throttled)}
}

func readCPUStat(dir string) (s cpuStat, err error) {
	name := filepath.Join(dir, "cpu.stat")
	text, err := os.ReadFile(name)
	if err != nil {
		return s, err
	}
	found := false
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "usage_usec":
			s.usage, err = micros(value)
			found = true
		case "nr_periods":
			s.throttling.periods, err = strconv.ParseUint(value, 10, 64)
		case "nr_throttled":
			s.throttling.throttled, err = strconv.ParseUint(value, 10, 64)
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	if !found {
		return s, fmt.Errorf("%s does not tell the CPU time", name)
	}
	return s, nil
}

// readPressure is for how long some, or all (full), tasks were stalled.
//
//	some avg10=0.00 avg60=0.00 avg300=0.00 total=1234
func readPressure(name, kind string) (time.Duration, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != kind {
			continue
		}
		total, ok := strings.CutPrefix(fields[len(fields)-1], "total=")
		if !ok {
			break
		}
		stalled, err := micros(total)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		return stalled, nil
	}
	return 0, fmt.Errorf("%s does not tell %q", name, kind)
}

// readLimit reads a file of one number, in which "max" is none: 0.
func readLimit(name string) (uint64, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	word := strings.TrimSpace(string(text))
	if word == "max" {
		return 0, nil
	}
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

// gone says that a cgroup is not there any more.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }

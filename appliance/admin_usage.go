package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// Times between two answers of WatchUsage.
const (
	usageInterval    = 2 * time.Second
	usageMinInterval = 100 * time.Millisecond
)

// cgroupRoot is where the box's cgroup v2 tree is mounted.
const cgroupRoot = "/sys/fs/cgroup"

// WatchUsage implements AdminService.
func (a *adminServer) WatchUsage(ctx context.Context, r *connect.Request[entroosv1.WatchUsageRequest], stream *connect.ServerStream[entroosv1.WatchUsageResponse]) error {
	interval := time.Duration(r.Msg.GetIntervalMillis()) * time.Millisecond
	tick := time.NewTicker(max(usageMinInterval, cmp.Or(interval, usageInterval)))
	defer tick.Stop()
	for {
		usage, err := a.box.usage()
		if err != nil {
			return apiError(err)
		}
		if err := stream.Send(usage); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil // the client has left
		}
	}
}

// usage is what the parts of the box have used up to now.
func (b *Box) usage() (*entroosv1.WatchUsageResponse, error) {
	whole, err := boxUsage()
	if err != nil {
		return nil, err
	}
	own, err := ownUsage()
	if err != nil {
		return nil, err
	}
	answer := &entroosv1.WatchUsageResponse{TimeUnixNano: time.Now().UnixNano(), Box: whole, Services: []*entroosv1.Usage{own}, Resources: b.resources(), Cpus: uint32(goruntime.NumCPU())}
	for _, service := range b.Supervisor.Services() {
		status := service.Status()
		if status.PID == 0 {
			continue // a part of PID 1, or it has ended
		}
		u, err := cgroupUsage(filepath.Join(cgroupRoot, "system", status.Name))
		if err != nil {
			return nil, err
		}
		u.Name = status.Name
		answer.Services = append(answer.Services, u)
	}
	if b.Workloads == nil {
		return answer, nil
	}
	for _, c := range b.Workloads.List(false) {
		u, err := cgroupUsage(filepath.Join(cgroupRoot, "workloads", c.GetId()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // between two executions
		} else if err != nil {
			return nil, err
		}
		u.Name, u.ContainerId = c.GetSpec().GetName(), c.GetId()
		answer.Containers = append(answer.Containers, u)
	}
	return answer, nil
}

// boxUsage is that of everything.
func boxUsage() (*entroosv1.Usage, error) {
	u := new(entroosv1.Usage)
	if err := addCPUAndIO(u, cgroupRoot); err != nil {
		return nil, err
	}
	total, available, err := memory()
	if err != nil {
		return nil, err
	}
	u.MemoryBytes, u.MemoryLimitBytes = total-min(available, total), total
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return nil, fmt.Errorf("sysinfo: %w", err)
	}
	u.Pids = uint64(info.Procs)
	return u, nil
}

// ownUsage is that of PID 1, which has no cgroup of its own.
func ownUsage() (*entroosv1.Usage, error) {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return nil, fmt.Errorf("getrusage: %w", err)
	}
	const block = 512 // in which getrusage counts
	u := &entroosv1.Usage{
		Name:        initService,
		CpuMicros:   uint64(used.Utime.Nano()+used.Stime.Nano()) / 1000,
		IoReadBytes: uint64(used.Inblock) * block, IoWriteBytes: uint64(used.Oublock) * block,
	}
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return nil, err
	}
	if fields := strings.Fields(string(text)); len(fields) > 1 {
		pages, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("/proc/self/statm: %w", err)
		}
		u.MemoryBytes = pages * uint64(os.Getpagesize())
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, err
	}
	u.Pids = uint64(len(threads)) // as cgroups count
	return u, nil
}

// cgroupUsage is that of a cgroup; what its controllers do not tell is 0.
func cgroupUsage(path string) (*entroosv1.Usage, error) {
	u := new(entroosv1.Usage)
	if err := addCPUAndIO(u, path); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		into *uint64
	}{{"memory.current", &u.MemoryBytes}, {"memory.max", &u.MemoryLimitBytes}, {"pids.current", &u.Pids}} {
		text, err := os.ReadFile(filepath.Join(path, f.name))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) { // ENODEV: it is just going
			continue
		} else if err != nil {
			return nil, err
		}
		if word := strings.TrimSpace(string(text)); word != "max" { // no limit
			if *f.into, err = strconv.ParseUint(word, 10, 64); err != nil {
				return nil, fmt.Errorf("%s/%s: %w", path, f.name, err)
			}
		}
	}
	return u, nil
}

// addCPUAndIO reads cpu.stat, and io.stat if there is one.
func addCPUAndIO(u *entroosv1.Usage, path string) error {
	text, err := os.ReadFile(filepath.Join(path, "cpu.stat"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "usage_usec "); ok {
			if u.CpuMicros, err = strconv.ParseUint(strings.TrimSpace(n), 10, 64); err != nil {
				return fmt.Errorf("%s/cpu.stat: %w", path, err)
			}
		}
	}
	text, err = os.ReadFile(filepath.Join(path, "io.stat"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
		return err
	}
	// One line a device: "8:0 rbytes=1 wbytes=2 rios=...".
	for field := range strings.FieldsSeq(string(text)) {
		key, value, _ := strings.Cut(field, "=")
		var into *uint64
		switch key {
		case "rbytes":
			into = &u.IoReadBytes
		case "wbytes":
			into = &u.IoWriteBytes
		default:
			continue
		}
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return fmt.Errorf("%s/io.stat: %w", path, err)
		}
		*into += n
	}
	return nil
}

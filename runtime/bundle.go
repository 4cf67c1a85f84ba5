package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/network"
)

// bundle is what runc makes a container of: its folder in /run, with the
// configuration and the root file system's mount point.
type bundle struct {
	dir      string
	id       string
	workload *Workload
	root     uint32 // the container's root on the box
	slot     int
	cgroup   string
	resolver *resolver
	high     uint64 // memory.high, 0 is none
	weight   uint64 // cpu.weight, 0 is the kernel's default
}

func (b *bundle) rootfs() string   { return filepath.Join(b.dir, "rootfs") }
func (b *bundle) layers() string   { return filepath.Join(b.dir, "layers") }
func (b *bundle) volumes() string  { return filepath.Join(b.dir, "volumes") }
func (b *bundle) hosts() string    { return filepath.Join(b.dir, "hosts") }
func (b *bundle) hostname() string { return filepath.Join(b.dir, "hostname") }
func (b *bundle) pidFile() string  { return filepath.Join(b.dir, "pid") }
func (b *bundle) runcLog() string  { return filepath.Join(b.dir, "runc.log") }
func (b *bundle) console() string  { return filepath.Join(b.dir, "tty") }

// volume is where the i-th of the workload's mounts is mounted.
func (b *bundle) volume(i int) string { return filepath.Join(b.volumes(), strconv.Itoa(i)) }

// name is the container's hostname.
func (b *bundle) name() (string, error) {
	switch {
	case b.workload.Hostname != "":
		return b.workload.Hostname, nil
	case b.workload.Network == NetworkHost:
		return os.Hostname()
	}
	return b.id[:min(12, len(b.id))], nil
}

// write makes the bundle's files.
func (b *bundle) write() error {
	name, err := b.name()
	if err != nil {
		return err
	}
	if err := b.writeOwned(b.hostname(), name+"\n"); err != nil {
		return err
	}
	if err := b.writeOwned(b.hosts(), b.hostsContent(name)); err != nil {
		return err
	}
	spec, err := b.spec(name)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "config.json"), raw, 0o600)
}

// removeBundle deletes a bundle's folder. What is mounted in it, if anything
// still is, is a reason to fail and not deleted.
func removeBundle(dir string) error {
	points, err := filepath.Glob(filepath.Join(dir, "volumes", "*"))
	if err != nil {
		return err
	}
	for _, p := range append(points, filepath.Join(dir, "rootfs"), filepath.Join(dir, "layers")) {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.RemoveAll(dir)
}

// writeOwned writes a file that belongs to the container's root.
func (b *bundle) writeOwned(name, content string) error {
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		return err
	}
	if err := os.Chmod(name, 0o644); err != nil {
		return err
	}
	return os.Chown(name, int(b.root), int(b.root))
}

func (b *bundle) hostsContent(name string) string {
	var s strings.Builder
	s.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	address := "127.0.1.1"
	if b.workload.Network == NetworkBridge {
		address = network.Address(b.slot).String()
	}
	fmt.Fprintf(&s, "%s\t%s\n", address, name)
	return s.String()
}

func (b *bundle) spec(hostname string) (*specs.Spec, error) {
	w := b.workload
	score := 0
	s := &specs.Spec{
		Version:  specs.Version,
		Hostname: hostname,
		Root:     &specs.Root{Path: b.rootfs(), Readonly: w.ReadOnly},
		Process: &specs.Process{
			Terminal: w.Tty, Args: w.Args, Env: w.Env, Cwd: w.Cwd, User: processUser(w.User),
			Capabilities: processCapabilities(w), NoNewPrivileges: true, OOMScoreAdj: &score,
			Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 524288},
				{Type: "RLIMIT_CORE", Soft: 0, Hard: 0},
			},
		},
		Mounts: b.mounts(),
		Linux: &specs.Linux{
			UIDMappings: b.mapping(), GIDMappings: b.mapping(),
			CgroupsPath:   b.cgroup,
			Resources:     b.resources(),
			Namespaces:    b.namespaces(),
			MaskedPaths:   slices.Concat(maskedPaths, thermalPaths()),
			ReadonlyPaths: readonlyPaths,
		},
	}
	if w.Network != NetworkHost {
		// Within the container's own network every user may take any port.
		s.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"}
	}
	filter, err := seccomp.GetDefaultProfile(s)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	s.Linux.Seccomp = filter
	return s, nil
}

// Docker's.
var (
	maskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// thermalPaths are those that docker masks as well where a machine has them:
// what they count tells of other containers' work.
func thermalPaths() []string {
	// Glob's one error is about the pattern.
	paths, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")
	return paths
}

func (b *bundle) mapping() []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: 0, HostID: b.root, Size: idsPerContainer}}
}

func processUser(u User) specs.User {
	return specs.User{UID: u.UID, GID: u.GID, AdditionalGids: u.Groups}
}

// processCapabilities gives root what the workload may have; other users could
// only come by them through set-uid programs, which no_new_privs rules out.
func processCapabilities(w *Workload) *specs.LinuxCapabilities {
	c := &specs.LinuxCapabilities{Bounding: w.Capabilities}
	if w.User.UID == 0 {
		c.Effective, c.Permitted = w.Capabilities, w.Capabilities
	}
	return c
}

func (b *bundle) namespaces() []specs.LinuxNamespace {
	kinds := []specs.LinuxNamespaceType{
		specs.UserNamespace, specs.PIDNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.MountNamespace,
		specs.CgroupNamespace,
	}
	if b.workload.Network != NetworkHost {
		kinds = append(kinds, specs.NetworkNamespace)
	}
	namespaces := make([]specs.LinuxNamespace, len(kinds))
	for i, k := range kinds {
		namespaces[i].Type = k
	}
	return namespaces
}

func (b *bundle) mounts() []specs.Mount {
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		b.sysMount(),
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
	}
	resolv := b.resolver.reachable()
	if b.workload.Network == NetworkHost {
		resolv = b.resolver.whole()
	}
	mounts = append(mounts,
		// One file for all containers, so none may write to it.
		specs.Mount{Destination: "/etc/resolv.conf", Type: "bind", Source: resolv, Options: []string{"bind", "ro", "nosuid", "nodev", "noexec"}},
		specs.Mount{Destination: "/etc/hosts", Type: "bind", Source: b.hosts(), Options: []string{"bind", "nosuid", "nodev", "noexec"}},
		specs.Mount{Destination: "/etc/hostname", Type: "bind", Source: b.hostname(), Options: []string{"bind", "nosuid", "nodev", "noexec"}},
	)
	for i, m := range b.workload.Mounts {
		access := "rw"
		if m.ReadOnly {
			access = "ro"
		}
		mounts = append(mounts, specs.Mount{
			Destination: m.Target, Type: "bind", Source: b.volume(i), Options: []string{"bind", "nosuid", "nodev", access},
		})
	}
	return mounts
}

// sysMount is the container's own /sys; in the box's network namespace, which
// its user namespace does not own, none can be mounted, and it sees the box's.
func (b *bundle) sysMount() specs.Mount {
	m := specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}}
	if b.workload.Network == NetworkHost {
		m.Type, m.Source, m.Options = "bind", "/sys", append([]string{"rbind", "rprivate"}, m.Options...)
	}
	return m
}

// cpuPeriod is the time over which CPU use is bounded, in microseconds.
const cpuPeriod = 100_000

func (b *bundle) resources() *specs.LinuxResources {
	l := b.workload.Limits
	memory, pids := int64(l.MemoryBytes), int64(l.Pids)
	r := &specs.LinuxResources{
		// runc adds the harmless ones: null, zero, full, random, urandom, tty.
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
		// Swap counts memory and swap together: there is none.
		Memory: &specs.LinuxMemory{Limit: &memory, Swap: &memory},
		Pids:   &specs.LinuxPids{Limit: &pids},
	}
	if l.CPUMilli > 0 {
		period := uint64(cpuPeriod)
		quota := int64(l.CPUMilli * cpuPeriod / 1000)
		r.CPU = &specs.LinuxCPU{Period: &period, Quota: &quota}
	}
	r.Unified = make(map[string]string)
	if b.high > 0 {
		r.Unified["memory.high"] = fmt.Sprint(b.high)
	}
	if b.weight > 0 {
		r.Unified["cpu.weight"] = fmt.Sprint(b.weight)
	}
	return r
}

// cgroupDir is where the container's figures are.
func cgroupDir(path string) string { return filepath.Join(cgroupRoot, path) }

const cgroupRoot = "/sys/fs/cgroup"

// checkCgroups says whether the box has what containers need.
func checkCgroups() error {
	var s unix.Statfs_t
	if err := unix.Statfs(cgroupRoot, &s); err != nil {
		return fmt.Errorf("%s: %w", cgroupRoot, err)
	}
	if s.Type != unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("%s is not a cgroup v2 file system", cgroupRoot)
	}
	return nil
}

package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/router"
)

// maxPorts bounds a range of ports.
const maxPorts = 1000

var workloadPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)

// keyError is what is wrong with the value of one key.
type keyError struct {
	key string
	err error
}

func (e *keyError) Error() string { return e.key + ": " + e.err.Error() }
func (e *keyError) Unwrap() error { return e.err }

// Spec is the workload as it is asked for over the API.
func (w *Workload) Spec() (*entroosv1.WorkloadSpec, error) {
	s := &entroosv1.WorkloadSpec{
		Name: w.Name, Image: w.Image, Args: w.Args, Entrypoint: w.Entrypoint, SetEntrypoint: w.Entrypoint != nil,
		Env: w.Env, Cwd: w.Workdir, User: w.User, Hostname: w.Hostname, Network: w.Network,
		Tty: w.Tty, ReadOnly: w.ReadOnly, CapAdd: w.CapAdd, CapDrop: w.CapDrop, StopSignal: w.StopSignal,
		Limits: new(entroosv1.Limits), StopTimeoutSeconds: uint32(w.StopTimeout),
	}
	wrong := func(key, format string, args ...any) (*entroosv1.WorkloadSpec, error) {
		return nil, &keyError{key, fmt.Errorf(format, args...)}
	}
	if !workloadPattern.MatchString(w.Name) {
		return wrong("name", "%.60q is no name: letters, digits, '_', '.' and '-', at most 63", w.Name)
	}
	if w.Image == "" {
		return wrong("image", "no image is named")
	}
	for i, e := range w.Env {
		if strings.IndexByte(e, '=') <= 0 {
			return wrong(index("env", i), "%.60q is not of the form KEY=value", e)
		}
	}
	for i, p := range w.Ports {
		ports, err := ParsePort(p)
		if err != nil {
			return wrong(index("ports", i), "%w", err)
		}
		s.Ports = append(s.Ports, ports...)
	}
	for i, v := range w.Volumes {
		mount, err := ParseVolume(v)
		if err != nil {
			return wrong(index("volumes", i), "%w", err)
		}
		s.Mounts = append(s.Mounts, mount)
	}
	restart := w.Restart
	if restart == "" {
		restart = "always"
	}
	var err error
	if s.Restart, err = ParseRestart(restart); err != nil {
		return wrong("restart", "%w", err)
	}
	if w.Memory != "" {
		if s.Limits.MemoryBytes, err = ParseMemory(w.Memory); err != nil {
			return wrong("memory", "%w", err)
		}
	}
	if w.CPUs != 0 {
		if s.Limits.CpuMilli, err = MilliCPU(w.CPUs); err != nil {
			return wrong("cpus", "%w", err)
		}
	}
	if err := w.demand(s); err != nil {
		return nil, err
	}
	if w.PIDs < 0 {
		return wrong("pids", "%d: there is always a limit", w.PIDs)
	}
	s.Limits.Pids = uint64(w.PIDs)
	switch w.Network {
	case "", "bridge", "host", "none":
	default:
		return wrong("network", "%.60q is none of bridge, host, none", w.Network)
	}
	if w.StopSignal != "" {
		if _, err := ParseSignal(w.StopSignal); err != nil {
			return wrong("stop_signal", "%w", err)
		}
	}
	if w.StopTimeout < 0 || w.StopTimeout > math.MaxInt32 {
		return wrong("stop_timeout", "%d is no number of seconds", w.StopTimeout)
	}
	return s, nil
}

// demand is what placement counts on.
func (w *Workload) demand(s *entroosv1.WorkloadSpec) (err error) {
	if w.CPURequest != 0 {
		if s.CpuRequestMilli, err = RequestMilli(w.CPURequest); err != nil {
			return &keyError{"cpu_request", err}
		}
	}
	if w.CPUShares != 0 {
		if s.CpuWeight, err = WeightOfShares(w.CPUShares); err != nil {
			return &keyError{"cpu_shares", err}
		}
	}
	if w.MemoryReservation != "" {
		if s.MemoryRequestBytes, err = ParseMemory(w.MemoryReservation); err != nil {
			return &keyError{"memory_reservation", err}
		}
	}
	if s.Limits.MemoryBytes != 0 && s.MemoryRequestBytes > s.Limits.MemoryBytes {
		return &keyError{"memory_reservation", fmt.Errorf("%s is above the limit, memory: %s", w.MemoryReservation, w.Memory)}
	}
	for i, text := range w.Constraints {
		k, err := router.ParseConstraint(text)
		if err != nil {
			return &keyError{index("constraints", i), err}
		}
		s.Constraints = append(s.Constraints, k.String())
	}
	return nil
}

// RequestMilli is a number of cores to count on, in thousandths of one.
func RequestMilli(cores float64) (uint64, error) {
	milli := math.Round(cores * 1000)
	if !(milli >= 1 && milli <= 1e6) {
		return 0, fmt.Errorf("%v is no number of cores from 0.001 to 1000", cores)
	}
	return uint64(milli), nil
}

// WeightOfShares is a CPU weight from docker's --cpu-shares, of which 1024 are
// the usual, as 100 are of weight.
func WeightOfShares(shares int) (uint64, error) {
	const least, most = 2, 102_400 // docker's least; cgroup v2's most
	if shares < least || shares > most {
		return 0, fmt.Errorf("%d is no number of CPU shares from %d to %d", shares, least, most)
	}
	return max(1, uint64(math.Round(float64(shares)/1024*100))), nil
}

// ParsePort reads [IP:]HOST:CONTAINER[/udp], where both ports may be ranges of
// one length.
func ParsePort(text string) ([]*entroosv1.PortMapping, error) {
	container, _, _ := strings.Cut(text[strings.LastIndexByte(text, ':')+1:], "/")
	if first, last, err := nat.ParsePortRange(container); err == nil && last-first >= maxPorts {
		return nil, fmt.Errorf("%.60q are more than %d ports", text, maxPorts)
	}
	mappings, err := nat.ParsePortSpec(text)
	if err != nil {
		return nil, err
	}
	var ports []*entroosv1.PortMapping
	for _, m := range mappings {
		host, err := strconv.ParseUint(m.Binding.HostPort, 10, 16)
		if err != nil || host == 0 {
			return nil, fmt.Errorf("name the box's port too: HOST:CONTAINER")
		}
		proto := m.Port.Proto()
		if proto != "tcp" && proto != "udp" {
			return nil, fmt.Errorf("the protocol is tcp or udp")
		}
		if m.Port.Int() == 0 {
			return nil, fmt.Errorf("there is no port 0")
		}
		ports = append(ports, &entroosv1.PortMapping{
			HostIp: m.Binding.HostIP, HostPort: uint32(host),
			ContainerPort: uint32(m.Port.Int()), Protocol: proto,
		})
	}
	return ports, nil
}

// ParseVolume reads SOURCE:TARGET[:ro|rw].
func ParseVolume(text string) (*entroosv1.VolumeMount, error) {
	parts := strings.Split(text, ":")
	m := &entroosv1.VolumeMount{}
	switch {
	case len(parts) == 3 && parts[2] == "ro":
		m.ReadOnly = true
	case len(parts) == 3 && parts[2] == "rw", len(parts) == 2:
	default:
		return nil, fmt.Errorf("%.60q is not SOURCE:TARGET[:ro]", text)
	}
	m.Source, m.Target = parts[0], parts[1]
	if m.Source == "" || !strings.HasPrefix(m.Target, "/") {
		return nil, fmt.Errorf("%.60q: SOURCE is a volume's name or a folder below /perm/volumes, TARGET an absolute path", text)
	}
	return m, nil
}

// ParseRestart reads no, on-failure[:MAX], always or unless-stopped.
func ParseRestart(text string) (*entroosv1.RestartPolicy, error) {
	mode, retries, bounded := strings.Cut(text, ":")
	p := &entroosv1.RestartPolicy{}
	switch mode {
	case "no":
		p.Mode = entroosv1.RestartPolicy_MODE_NO
	case "on-failure":
		p.Mode = entroosv1.RestartPolicy_MODE_ON_FAILURE
	case "always":
		p.Mode = entroosv1.RestartPolicy_MODE_ALWAYS
	case "unless-stopped":
		p.Mode = entroosv1.RestartPolicy_MODE_UNLESS_STOPPED
	default:
		return nil, fmt.Errorf("%.60q is none of no, on-failure[:MAX], always, unless-stopped", text)
	}
	if bounded {
		n, err := strconv.ParseUint(retries, 10, 31)
		if err != nil || mode != "on-failure" {
			return nil, fmt.Errorf("%.60q: only on-failure takes a number", text)
		}
		p.MaxRetries = uint32(n)
	}
	return p, nil
}

// ParseMemory reads a size in docker's units, e.g. 64m, as bytes.
func ParseMemory(text string) (uint64, error) {
	n, err := units.RAMInBytes(text)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%.60q is no size; write 64m or 1g", text)
	}
	return uint64(n), nil
}

// MilliCPU is a number of cores in thousandths of one.
func MilliCPU(cores float64) (uint64, error) {
	milli := math.Round(cores * 1000)
	if !(milli >= 10 && milli <= 1e6) {
		return 0, fmt.Errorf("%v is no number of cores from 0.01 to 1000", cores)
	}
	return uint64(milli), nil
}

// ParseSignal reads a signal's name, with or without SIG, or its number.
func ParseSignal(text string) (unix.Signal, error) {
	const last = 64 // Linux's SIGRTMAX
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > last {
			return 0, fmt.Errorf("signal %d is not between 1 and %d", n, last)
		}
		return unix.Signal(n), nil
	}
	name := strings.ToUpper(text)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if s := unix.SignalNum(name); s != 0 {
		return s, nil
	}
	return 0, fmt.Errorf("unknown signal %.60q", text)
}

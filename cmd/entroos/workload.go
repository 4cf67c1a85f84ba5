package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/config"
	"github.com/entroos/entroos/router"
)

// workloadFlags are the flags of `run` that make a workload, with docker's
// names and meanings.
type workloadFlags struct {
	name, cwd, user, hostname, network string
	entrypoint, restart, memory, cpus  string
	stopSignal                         string
	ports, volumes, env                []string
	capAdd, capDrop                    []string
	pids, stopTimeout                  int
	tty, stdin, remove, readOnly       bool
	cpuRequest, memoryReservation      string
	cpuShares                          int
	constraints                        []string
}

func (w *workloadFlags) add(f *pflag.FlagSet) {
	f.StringVar(&w.name, "name", "", "name of the container (default: the box chooses)")
	f.StringArrayVarP(&w.ports, "publish", "p", nil, "publish a port: `[IP:]HOST:CONTAINER[/udp]`")
	f.StringArrayVarP(&w.volumes, "volume", "v", nil, "mount a volume or folder of /perm/volumes: `SOURCE:TARGET[:ro]`")
	f.StringArrayVarP(&w.env, "env", "e", nil, "set an environment variable: `KEY=VALUE`, or KEY for its value here")
	f.StringVarP(&w.cwd, "workdir", "w", "", "working directory")
	f.StringVarP(&w.user, "user", "u", "", "user: `NAME|UID[:GROUP|GID]`")
	f.StringVar(&w.restart, "restart", "no", "no, on-failure[:MAX], always or unless-stopped")
	f.StringVarP(&w.memory, "memory", "m", "", "memory limit, e.g. 64m or 1g (default 256m)")
	f.StringVar(&w.cpus, "cpus", "", "CPU limit in cores, e.g. 0.5")
	f.IntVar(&w.pids, "pids-limit", 0, "most processes and threads (default 512)")
	f.StringVar(&w.network, "network", "bridge", "bridge, host or none")
	f.BoolVar(&w.remove, "rm", false, "remove the container when it has ended")
	f.BoolVarP(&w.stdin, "interactive", "i", false, "keep standard input open")
	f.BoolVarP(&w.tty, "tty", "t", false, "give the container a terminal")
	f.StringVar(&w.entrypoint, "entrypoint", "", "program to run in place of the image's entrypoint")
	f.BoolVar(&w.readOnly, "read-only", false, "make the container's root read-only")
	f.StringArrayVar(&w.capAdd, "cap-add", nil, "add a capability")
	f.StringArrayVar(&w.capDrop, "cap-drop", nil, "drop a capability, or ALL")
	f.StringVar(&w.hostname, "hostname", "", "host name in the container")
	f.StringVar(&w.stopSignal, "stop-signal", "", "signal that stops it (default: the image's, or SIGTERM)")
	f.StringVar(&w.cpuRequest, "cpu-request", "", "CPU in cores that placement counts on, e.g. 0.25 (default 0.01)")
	f.IntVar(&w.cpuShares, "cpu-shares", 0, "part of the CPU when it is short, beside others' (default 1024)")
	f.StringVar(&w.memoryReservation, "memory-reservation", "", "memory that placement counts on, e.g. 32m (default 4m)")
	f.StringArrayVar(&w.constraints, "constraint", nil, "what its node must be: `node.labels.KEY==VALUE`, node.hostname!=NAME, node.id==ID")
	f.IntVar(&w.stopTimeout, "stop-timeout", 0, "seconds from that signal to SIGKILL (default 10)")
}

// spec is the workload that flags and arguments ask for.
func (w *workloadFlags) spec(f *pflag.FlagSet, args []string) (*entroosv1.WorkloadSpec, error) {
	s := &entroosv1.WorkloadSpec{
		Name: w.name, Image: args[0], Args: args[1:], Env: environmentEntries(w.env), Cwd: w.cwd, User: w.user,
		Hostname: w.hostname, Network: w.network, Tty: w.tty, Stdin: w.stdin, Remove: w.remove,
		ReadOnly: w.readOnly, CapAdd: w.capAdd, CapDrop: w.capDrop, StopSignal: w.stopSignal,
	}
	if f.Changed("entrypoint") { // an empty one takes the image's away
		s.SetEntrypoint = true
		if w.entrypoint != "" {
			s.Entrypoint = []string{w.entrypoint}
		}
	}
	var err error
	for _, p := range w.ports {
		ports, err := config.ParsePort(p)
		if err != nil {
			return nil, fmt.Errorf("-p %s: %w", p, err)
		}
		s.Ports = append(s.Ports, ports...)
	}
	for _, v := range w.volumes {
		mount, err := config.ParseVolume(v)
		if err != nil {
			return nil, fmt.Errorf("-v %w", err)
		}
		s.Mounts = append(s.Mounts, mount)
	}
	if s.Restart, err = config.ParseRestart(w.restart); err != nil {
		return nil, fmt.Errorf("--restart %w", err)
	}
	if w.remove && s.Restart.Mode != entroosv1.RestartPolicy_MODE_NO {
		return nil, errors.New("--rm and --restart exclude each other")
	}
	if s.Limits, err = w.limits(); err != nil {
		return nil, err
	}
	if err := w.demand(s); err != nil {
		return nil, err
	}
	switch w.network {
	case "bridge", "host", "none":
	default:
		return nil, fmt.Errorf("--network %q is none of bridge, host, none", w.network)
	}
	if w.stopSignal != "" {
		if _, err := config.ParseSignal(w.stopSignal); err != nil {
			return nil, fmt.Errorf("--stop-signal: %w", err)
		}
	}
	if w.stopTimeout < 0 || w.stopTimeout > math.MaxInt32 {
		return nil, fmt.Errorf("--stop-timeout %d is no number of seconds", w.stopTimeout)
	}
	s.StopTimeoutSeconds = uint32(w.stopTimeout)
	return s, nil
}

// demand is what placement counts on.
func (w *workloadFlags) demand(s *entroosv1.WorkloadSpec) (err error) {
	if w.cpuRequest != "" {
		cores, err := strconv.ParseFloat(w.cpuRequest, 64)
		if err != nil {
			return fmt.Errorf("--cpu-request %s is no number of cores", w.cpuRequest)
		}
		if s.CpuRequestMilli, err = config.RequestMilli(cores); err != nil {
			return fmt.Errorf("--cpu-request %w", err)
		}
	}
	if w.cpuShares != 0 {
		if s.CpuWeight, err = config.WeightOfShares(w.cpuShares); err != nil {
			return fmt.Errorf("--cpu-shares %w", err)
		}
	}
	if w.memoryReservation != "" {
		if s.MemoryRequestBytes, err = config.ParseMemory(w.memoryReservation); err != nil {
			return fmt.Errorf("--memory-reservation %w", err)
		}
	}
	for _, text := range w.constraints {
		k, err := router.ParseConstraint(text)
		if err != nil {
			return fmt.Errorf("--constraint: %w", err)
		}
		s.Constraints = append(s.Constraints, k.String())
	}
	return nil
}

func (w *workloadFlags) limits() (*entroosv1.Limits, error) {
	l := &entroosv1.Limits{}
	if w.memory != "" {
		n, err := config.ParseMemory(w.memory)
		if err != nil {
			return nil, fmt.Errorf("--memory %w", err)
		}
		l.MemoryBytes = n
	}
	if w.cpus != "" {
		n, err := strconv.ParseFloat(w.cpus, 64)
		if err != nil {
			return nil, fmt.Errorf("--cpus %s is no number of cores from 0.01 to 1000", w.cpus)
		}
		if l.CpuMilli, err = config.MilliCPU(n); err != nil {
			return nil, fmt.Errorf("--cpus %w", err)
		}
	}
	if w.pids < 0 {
		return nil, fmt.Errorf("--pids-limit %d: there is always a limit", w.pids)
	}
	l.Pids = uint64(w.pids)
	return l, nil
}

// environmentEntries resolves KEY to the client's value, as docker does.
func environmentEntries(entries []string) []string {
	var out []string
	for _, e := range entries {
		if !strings.Contains(e, "=") {
			value, ok := os.LookupEnv(e)
			if !ok {
				continue
			}
			e += "=" + value
		}
		out = append(out, e)
	}
	return out
}

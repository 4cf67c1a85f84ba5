package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/morphzip/store"
	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/nko/governor"
	"github.com/entroos/entroos/nko/noise"
	"github.com/entroos/entroos/runtime"
)

// RunPath is where the box's sockets are.
const RunPath = "/run/entroos"

// Sockets of the box.
const (
	AdminSocket  = RunPath + "/admin.sock"
	LedgerSocket = RunPath + "/ledger.sock"
)

// Box is a running box: its parts, and what is wrong with it. Parts that could
// not be had are nil.
type Box struct {
	Logger     *slog.Logger
	Log        *nko.LogRing // of PID 1 itself
	Options    Options
	Settings   *Settings
	Reaper     *nko.Reaper
	Supervisor *nko.Supervisor
	Storage    Storage
	Store      *nko.Store
	Logs       *store.Store // of services and containers
	Runtime    *runtime.Runtime
	Workloads  *nko.Workloads
	Outbox     *nko.Outbox
	Ledger     *ledger.Client
	Router     *nko.RouterLink
	Noise      *noise.Monitor
	Governor   *governor.Governor
	Boots      *BootLog

	mu       sync.Mutex
	previous PreviousBoot
	own      *ownSettings
	follower *follower // nil until it is started
	declared *declared // same
	problems []problem // that stay until the next boot
	// state is the folder of records, images, containers and ledger.
	state string
	// recordsLost: the records on the data partition cannot be used.
	recordsLost bool
	ready       time.Duration
	trial       *Trial        // nil until it is known which UKI runs
	judged      chan struct{} // closed at the first verdict
	stop        chan Action
	cutStart    context.CancelFunc // nil before Begin
	begun       chan struct{}      // closed when the start has ended
	lengthy     atomic.Bool        // the start is at what may take long
	version     versionCache
	disks       sync.Mutex // held while a disk is installed, repaired or made anew
	twins       twinWatch
	peers       peers // of the admin API
}

// Action is how the box ends.
type Action int

// The ways to end.
const (
	Reboot Action = iota + 1
	PowerOff
)

// NewBox makes a Box without parts.
func NewBox(logger *slog.Logger, log *nko.LogRing) *Box {
	return &Box{Logger: logger, Log: log, Settings: NewSettings(), own: newOwnSettings(), judged: make(chan struct{}), begun: make(chan struct{}), stop: make(chan Action, 1)}
}

// Problem notes what is wrong with the box until the next boot: it is degraded.
func (b *Box) Problem(err error) {
	if err == nil {
		return
	}
	b.Logger.Error("problem", "what", err.Error())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, problem{text: err.Error(), outside: isOutside(err)})
}

// Problems says all that is wrong now, each with a way out: with the box, and
// with what its settings ask for.
func (b *Box) Problems() []string { return append(b.faults(), b.complaints()...) }

// State is "starting", "ready" or "degraded".
func (b *Box) State() string {
	select {
	case <-b.judged:
	default:
		return "starting"
	}
	if len(b.faults()) > 0 {
		return "degraded"
	}
	return "ready"
}

// End asks for the box's end; the first who asks decides.
func (b *Box) End(a Action) {
	select {
	case b.stop <- a:
	default: // it is ending already
	}
}

// Ending gives the action once somebody has asked for the end.
func (b *Box) Ending() <-chan Action { return b.stop }

// LoseRecords notes that the box's records on the data partition cannot be used,
// and why.
func (b *Box) LoseRecords(err error) {
	if b.Storage.Data == "" { // there are none, which is told already
		b.Problem(err)
		return
	}
	b.mu.Lock()
	b.recordsLost = true
	b.mu.Unlock()
	b.Problem(fmt.Errorf("%w; `data reset --keep-volumes` begins anew with the volumes that are there", err))
}

// RecordsLost says that the data partition is mounted and something on it, the
// box's records or its ledger, cannot be used.
func (b *Box) RecordsLost() bool {
	b.mu.Lock()
	lost := b.recordsLost
	b.mu.Unlock()
	if b.Store != nil && b.Store.Damage() != nil {
		lost = true
	}
	for _, s := range b.Supervisor.Unhealthy() {
		if s.Name == ledgerService && s.State == nko.StateFailing {
			lost = true
		}
	}
	return lost && b.Storage.Data != ""
}

// StartRuntime brings up the container runtime and the workloads over the store,
// and receipts for the executions that the last stop cut off.
func (b *Box) StartRuntime(ctx context.Context) error {
	engine, err := runtime.New(runtime.Config{
		Images:     b.state + "/images",
		Volumes:    b.state + "/volumes",
		Containers: b.state + "/containers",
		Run:        RunPath + "/runc",
		Runc:       "/bin/runc",
		Cgroup:     "/workloads",
		DB:         b.Store.DB(),
		Logs:       b.Logs,
		Processes:  b.Reaper,
		Resolv:     "/etc/resolv.conf",
		Logger:     b.Logger,
		MemoryHigh: equations.MemoryHigh,
		CPUWeight:  nko.StartWeight,
		Go:         nko.Go,
	})
	if err != nil {
		return fmt.Errorf("containers cannot run: %w", err)
	}
	workloads, err := nko.NewWorkloads(b.Store, nko.NewEngine(engine), b.Outbox.Wake, b.Logger)
	if err != nil {
		return fmt.Errorf("containers cannot run: %w", err)
	}
	if err := workloads.Recover(ctx); err != nil {
		b.Problem(fmt.Errorf("containers of the last boot: %w", err))
	}
	b.Runtime, b.Workloads = engine, workloads
	_, err = b.Supervisor.Add(nko.ServiceSpec{Name: "runtime", Run: engine.Serve})
	return errors.Join(err, b.StartGovernor())
}

// The time between two looks at the box's health; before the
// first verdict it is shorter.
const (
	judgeInterval = 4 * time.Second
	judgeFirst    = 10 * time.Millisecond
)

// Judged is closed when there has been a first verdict on the box's health.
func (b *Box) Judged() <-chan struct{} { return b.judged }

// Judge watches over the box's health until ctx ends: it says on every console
// when the box has become ready, and what is wrong when it is not.
func (b *Box) Judge(ctx context.Context) error {
	var last string
	var told []string
	for {
		if now := b.complaints(); !slices.Equal(now, told) {
			for _, c := range now {
				if !slices.Contains(told, c) {
					Announce("entroos: %s", c)
				}
			}
			told = now
		}
		if text := b.verdict(); text != "" && text != last {
			b.Announce("entroos: %s", text)
			b.Logger.Info("verdict", "health", text)
			last = text
			b.mu.Lock()
			select {
			case <-b.judged:
			default:
				close(b.judged)
			}
			b.mu.Unlock()
		}
		interval := judgeInterval
		if last == "" {
			interval = judgeFirst
		}
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// verdict is what there is to say about the box's health; nothing while
// services are starting.
func (b *Box) verdict() string {
	for _, s := range b.Supervisor.Unhealthy() {
		// Failing services are among the problems; others may still come up.
		if s.State != nko.StateFailing {
			return ""
		}
	}
	if problems := b.faults(); len(problems) > 0 {
		return "degraded: " + strings.Join(problems, "; ")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ready == 0 {
		up, err := SinceKernelStart()
		if err != nil {
			return "degraded: " + err.Error()
		}
		b.ready = up
	}
	text := fmt.Sprintf("ready in %.2fs", b.ready.Seconds())
	if b.previous.Untimely() {
		text += "; the last boot ended in " + b.previous.String()
	}
	return text
}

// Alive returns nil when what carries the box (the supervisor and the reaper)
// answers before ctx ends. The watchdogs are fed by it.
func (b *Box) Alive(ctx context.Context) error {
	return errors.Join(b.Supervisor.Alive(ctx), b.Reaper.Alive(ctx))
}

// MemoryTotal is the box's memory in bytes.
func MemoryTotal() (uint64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("sysinfo: %w", err)
	}
	return info.Totalram * uint64(info.Unit), nil
}

// MakeFolders makes the folders for sockets and state.
func MakeFolders() error {
	var failed []error
	for path, mode := range map[string]os.FileMode{
		RunPath: 0o755, homePath: 0o711, PermPath + "/ledger": 0o700,
	} {
		if err := os.MkdirAll(path, mode); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

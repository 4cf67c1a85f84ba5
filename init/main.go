// Command init is PID 1 of an EntroOS box: the order in which it starts and
// stops. All that it does is elsewhere.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/appliance"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/nko"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: this is the first process of an EntroOS box, and runs as nothing else")
		os.Exit(1)
	}
	// gokrazy's dhcp sends SIGHUP to PID 1 for each lease; SIGINT is Ctrl-Alt-Del.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGUSR2, unix.SIGPWR)
	signal.Ignore(unix.SIGPIPE)
	// From now on Ctrl-Alt-Del is a signal, not a reset.
	cad := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)

	mounts := appliance.MountEarly()
	ring := nko.NewLogRing()
	logger := appliance.NewLogger(ring)
	slog.SetDefault(logger)
	box := appliance.NewBox(logger, ring)
	box.Reaper = nko.NewReaper(logger)
	nko.Go("reaper", func() { keep("reaper", box.Reaper.Serve) })

	tree := nko.CgroupTree{Root: "/sys/fs/cgroup"}
	box.Supervisor = nko.NewSupervisor(box.Reaper, tree, logger)
	nko.Go("supervisor", func() { keep("supervisor", box.Supervisor.Serve) })
	box.Problem(cad)
	box.Problem(mounts)
	dog, err := box.StartWatchdog()
	if err != nil {
		logger.Warn("watchdog", "error", err)
	}

	nko.Go("signals", func() { obey(box, signals) })
	// A check of the disk may take long, and the power button need not wait.
	box.Begin(func(ctx context.Context) { start(ctx, box, tree, dog) })
	action := <-box.Ending()
	for {
		err := box.Shutdown(action, dog)
		appliance.Announce("entroos: the box does not end: %v", err)
		time.Sleep(time.Minute) // PID 1 must not return
	}
}

// keep runs what the box cannot be without, again whenever it ends.
func keep(name string, serve func(context.Context) error) {
	for {
		err := nko.Protect(name, func() error { return serve(context.Background()) })
		slog.Error("started again", "part", name, "error", err)
		time.Sleep(100 * time.Millisecond) // not as fast as the CPU can fail
	}
}

// networkPatience is how long the network waits for the box's own settings.
const networkPatience = 10 * time.Second

// start brings the box up. What fails leaves it degraded, never down. It leaves
// off when ctx ends.
func start(ctx context.Context, box *appliance.Box, tree nko.CgroupTree, dog *appliance.Watchdog) {
	options, err := appliance.ReadOptions()
	box.Options = options
	box.Problem(err)
	box.Problem(appliance.Sysctls(appliance.DefaultSysctls))
	box.Problem(box.Settings.ReadBuiltIn(appliance.BuiltInConfig))
	box.Problem(appliance.SetHostname(box.Config().Hostname))
	box.Problem(appliance.LoopbackUp())
	box.Problem(appliance.PrepareResolv())
	box.Problem(appliance.ClockFloor("/init"))
	if memory, err := appliance.MemoryTotal(); err != nil {
		box.Problem(err)
	} else {
		box.Problem(tree.Init(memory))
	}
	box.Problem(box.StartKernelLog())
	box.Problem(box.StartConsoles())
	box.Problem(box.StartPowerButtons())
	box.Problem(box.StartFaults())
	box.Problem(nko.Protect("trial", box.StartTrial))
	// The network wants the box's own settings, but not so much that a late disk
	// keeps it away. It follows them when they come.
	network := sync.OnceFunc(func() { box.Problem(nko.Protect("network", box.StartNetwork)) })
	late := time.AfterFunc(networkPatience, nko.Guard("network", network))

	box.MountStorage(ctx, func() {
		box.Problem(box.ReadOwnSettings())
		network()
	})
	late.Stop()
	if ctx.Err() != nil {
		return // the box ends
	}
	network() // without a settings partition
	box.Problem(box.StartTwinWatch())
	box.Problem(nko.Protect("boot log", func() error { box.StartBootLog(dog); return nil }))
	box.Problem(appliance.MakeFolders())
	// Each receipt touches the records: the clock was at least there before.
	box.Problem(appliance.ClockFloor(appliance.PermPath + "/entroos.db"))
	box.Problem(box.StartFollowing())

	box.Ledger = ledger.Dial(appliance.LedgerSocket)
	if err := nko.Protect("records", box.OpenStore); err != nil {
		box.Problem(fmt.Errorf("no containers and no receipts: %w", err))
	} else {
		box.Problem(nko.Protect("logs", box.OpenLogs))
		box.Outbox = nko.NewOutbox(box.Store, box.Ledger, box.Logger)
		box.Problem(box.StartLedger())
		box.Problem(nko.Protect("runtime", func() error { return box.StartRuntime(ctx) }))
	}
	box.Problem(box.StartNoise())
	box.Problem(box.StartRouter())
	box.Problem(box.StartAdmin())
	box.Problem(box.StartRemote())

	box.Problem(nko.Protect("boot entry", box.FindUKI))
	_, err = box.Supervisor.Add(nko.ServiceSpec{Name: "health", Run: box.Judge})
	box.Problem(err)
	if box.Workloads != nil {
		box.Problem(box.StartWorkloads())
	}
}

// obey does what signals ask for.
func obey(box *appliance.Box, signals <-chan os.Signal) {
	for s := range signals {
		switch s {
		case unix.SIGHUP:
			// A supervisor that answers nobody must not keep the box from its end.
			nko.Go("probes", box.Supervisor.ProbeAll)
		case unix.SIGINT, unix.SIGTERM:
			box.End(appliance.Reboot)
		case unix.SIGUSR2, unix.SIGPWR:
			box.End(appliance.PowerOff)
		}
	}
}

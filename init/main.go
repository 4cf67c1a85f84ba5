// Command init is PID 1 of a box: the order in which it starts and stops.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/appliance"
	"github.com/entroos/entroos/nko"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: this is the first process of an EntroOS box, and runs as nothing else")
		os.Exit(1)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	if err := appliance.MountEarly(); err != nil {
		fmt.Println(err)
	}
	ring := nko.NewLogRing()
	logger := appliance.NewLogger(ring)
	slog.SetDefault(logger)
	if err := appliance.Sysctls(appliance.DefaultSysctls); err != nil {
		fmt.Println(err)
	}
	appliance.SetHostname()
	appliance.LoopbackUp()
	appliance.PrepareResolv()
	reaper := nko.NewReaper(logger)
	nko.Go("reaper", func() { reaper.Serve(context.Background()) })
	st, problems := appliance.MountStorage(context.Background(), reaper)
	fmt.Println(st, problems)
	tree := nko.CgroupTree{Root: "/sys/fs/cgroup"}
	var si unix.Sysinfo_t
	unix.Sysinfo(&si)
	if err := tree.Init(si.Totalram); err != nil {
		fmt.Println(err)
	}
	sup := nko.NewSupervisor(reaper, tree, logger)
	nko.Go("sup", func() { sup.Serve(context.Background()) })
	n := appliance.NewNetwork(sup, logger)
	fmt.Println(n.Start())
	sup.Add(nko.ServiceSpec{Name: "ntp", ReadyText: "clock set to", Process: &nko.ProcessSpec{Path: "/gokrazy/ntp", Dir: "/"}})
	for len(sup.Unhealthy()) > 0 && time.Second*10 > 0 {
		time.Sleep(20 * time.Millisecond)
	}
	up, _ := appliance.SinceKernelStart()
	appliance.Announce("entroos: ready in %.2fs", up.Seconds())
	fmt.Println(appliance.StartConsoles(sup))
	go func() {
		for range hup {
			sup.ProbeAll()
		}
	}()
	for {
		time.Sleep(3 * time.Second)
		for _, s := range sup.Services() {
			fmt.Printf("%+v\r\n", s.Status())
		}
		fmt.Println(appliance.Addresses())
	}
}

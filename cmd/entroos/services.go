package main

import (
	"context"
	"fmt"
	"math"
	"syscall"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/config"
)

func newServicesCommand(env *environment) *cobra.Command {
	c := &cobra.Command{Use: "services", Short: "The box's own services", Args: cobra.NoArgs}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.ListServices(ctx, connect.NewRequest(&entroosv1.ListServicesRequest{}))
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(jsonList(res.Msg.Services))
			}
			return env.printServices(res.Msg.Services)
		})
	}
	c.AddCommand(
		&cobra.Command{
			Use: "restart NAME", Short: "End a service with SIGTERM; it comes back", Args: cobra.ExactArgs(1),
			ValidArgsFunction: env.completeServices,
			RunE:              func(c *cobra.Command, args []string) error { return env.signalService(c, args[0], syscall.SIGTERM) },
		},
		&cobra.Command{
			Use: "kill NAME", Short: "End a service with SIGKILL; it comes back", Args: cobra.ExactArgs(1),
			ValidArgsFunction: env.completeServices,
			RunE:              func(c *cobra.Command, args []string) error { return env.signalService(c, args[0], syscall.SIGKILL) },
		},
		&cobra.Command{
			Use: "signal NAME SIGNAL", Short: "Send a service a signal, by name or number", Args: cobra.ExactArgs(2),
			ValidArgsFunction: env.completeServices,
			RunE: func(c *cobra.Command, args []string) error {
				signal, err := config.ParseSignal(args[1])
				if err != nil {
					return usageError(err)
				}
				return env.signalService(c, args[0], signal)
			},
		},
		newServiceLogsCommand(env),
	)
	return c
}

func (env *environment) printServices(services []*entroosv1.Service) error {
	t := newTable("NAME", "STATE", "PID", "UP", "RESTARTS", "AVAILABILITY", "MEMORY", "LAST EXIT")
	for _, s := range services {
		pid, up, memory := "-", "-", "-"
		if s.Pid != 0 {
			pid = fmt.Sprint(s.Pid)
		}
		if s.StartedUnixNano != 0 && s.Pid != 0 {
			up = durationSince(s.StartedUnixNano)
		}
		if s.MemoryBytes != 0 {
			memory = bytesText(s.MemoryBytes)
		}
		t.row(s.Name, s.State, pid, up, fmt.Sprint(s.Restarts), availabilityText(s), memory, dash(s.LastExit))
	}
	return env.printTable(t)
}

// availabilityText is a service's availability in per cent, rounded down: 100%
// has never failed.
func availabilityText(s *entroosv1.Service) string {
	if s.Failures == 0 {
		return "100%"
	}
	return fmt.Sprintf("%.2f%%", math.Floor(s.Availability*1e4)/100)
}

func (env *environment) signalService(c *cobra.Command, name string, signal syscall.Signal) error {
	return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
		_, err := b.SignalService(ctx, connect.NewRequest(&entroosv1.SignalServiceRequest{
			Service: name, Signal: int32(signal),
		}))
		return err
	})
}

package main

import (
	"context"
	"fmt"
	"math"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/config"
)

func newStopCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "stop CONTAINER...", Short: "Stop containers", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: env.completeRunning,
	}
	seconds := c.Flags().IntP("time", "t", 0, "seconds from the stop signal to SIGKILL (default: the container's)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *seconds < 0 || *seconds > math.MaxInt32 {
			return usageError(fmt.Errorf("-t %d is no number of seconds", *seconds))
		}
		if c.Flags().Changed("time") && *seconds == 0 {
			return usageError(fmt.Errorf("-t 0: use `kill` to end a container at once"))
		}
		return env.forEach(c.Context(), args, func(ctx context.Context, b *box, name string) error {
			_, err := b.StopContainer(ctx, connect.NewRequest(&entroosv1.StopContainerRequest{
				Container: name, TimeoutSeconds: uint32(*seconds),
			}))
			return err
		})
	}
	return c
}

func newStartCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "start CONTAINER...", Short: "Start containers that have ended", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: env.completeContainers,
		RunE: func(c *cobra.Command, args []string) error {
			return env.forEach(c.Context(), args, func(ctx context.Context, b *box, name string) error {
				res, err := b.StartContainer(ctx, connect.NewRequest(&entroosv1.StartContainerRequest{Container: name}))
				if err == nil {
					env.tellQueued(res.Msg.Container, "it starts when there is room")
				}
				return err
			})
		},
	}
}

func newKillCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "kill CONTAINER...", Short: "Send containers a signal", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: env.completeRunning,
	}
	name := c.Flags().StringP("signal", "s", "KILL", "signal, by name or number")
	c.RunE = func(c *cobra.Command, args []string) error {
		signal, err := config.ParseSignal(*name)
		if err != nil {
			return usageError(err)
		}
		return env.forEach(c.Context(), args, func(ctx context.Context, b *box, name string) error {
			_, err := b.KillContainer(ctx, connect.NewRequest(&entroosv1.KillContainerRequest{
				Container: name, Signal: int32(signal),
			}))
			return err
		})
	}
	return c
}

func newRmCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "rm CONTAINER...", Short: "Remove containers and their logs", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: env.completeContainers,
	}
	force := c.Flags().BoolP("force", "f", false, "kill a running one first")
	c.RunE = func(c *cobra.Command, args []string) error {
		return env.forEach(c.Context(), args, func(ctx context.Context, b *box, name string) error {
			_, err := b.RemoveContainer(ctx, connect.NewRequest(&entroosv1.RemoveContainerRequest{
				Container: name, Force: *force,
			}))
			return err
		})
	}
	return c
}

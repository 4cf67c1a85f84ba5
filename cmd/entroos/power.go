package main

import (
	"context"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func newRebootCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "reboot", Short: "Stop everything in order and start again", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
				_, err := b.Reboot(ctx, connect.NewRequest(&entroosv1.RebootRequest{}))
				return err
			})
		},
	}
}

func newPowerOffCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "poweroff", Aliases: []string{"shutdown"}, Short: "Stop everything in order and switch off", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
				_, err := b.PowerOff(ctx, connect.NewRequest(&entroosv1.PowerOffRequest{}))
				return err
			})
		},
	}
}

package main

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func newRebootCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "reboot", Short: "Stop everything in order and start again", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
				ctx, cancel := toTheEnd(ctx)
				defer cancel()
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
				ctx, cancel := toTheEnd(ctx)
				defer cancel()
				_, err := b.PowerOff(ctx, connect.NewRequest(&entroosv1.PowerOffRequest{}))
				return err
			})
		},
	}
}

// answerTime bounds the wait for the box's answer that it goes down.
const answerTime = 30 * time.Second

// toTheEnd is a context that the box's own going down does not cancel: among
// what it stops is the console on which this command runs.
func toTheEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), answerTime)
}

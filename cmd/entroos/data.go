package main

import (
	"context"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// newDataCommand is `data`: the ways out when the data partition is not well.
func newDataCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "data", Short: "Repair the data partition, or make a new one", Args: cobra.NoArgs,
		Long: "What to do when `status` says that the data partition cannot be mounted, or that its records cannot be\n" +
			"opened. A box whose data is well refuses both.",
	}
	c.AddCommand(newDataRepairCommand(env), newDataResetCommand(env))
	return c
}

func newDataRepairCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "repair", Short: "Mend the data partition's file system", Args: cobra.NoArgs,
		Long: "Has e2fsck mend the file system of a data partition that cannot be mounted, with every question answered\n" +
			"yes. Files whose place is lost come to lost+found.",
	}
	yes := yesFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !*yes {
			if err := env.confirm(c.Context(), "This changes the data partition for good: what e2fsck cannot mend, it takes out"); err != nil {
				return err
			}
		}
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			stream, err := b.RepairData(ctx, connect.NewRequest(&entroosv1.RepairDataRequest{}))
			if err != nil {
				return err
			}
			defer stream.Close()
			for stream.Receive() {
				if _, err := env.stdout.Write(stream.Msg().GetOutput()); err != nil {
					return err
				}
			}
			if err := stream.Err(); err != nil {
				return err
			}
			return env.println("The data partition is mended. `reboot` takes it into use.")
		})
	}
	return c
}

func newDataResetCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "reset", Short: "Make a new, empty data partition", Args: cobra.NoArgs,
		Long: "Makes the data partition new and empty. Containers, images, volumes, logs, receipts and the box's identity\n" +
			"are lost. With --keep-volumes the volumes stay; damaged records and the ledger are set aside beside them.",
	}
	yes := yesFlag(c)
	keep := c.Flags().Bool("keep-volumes", false, "lose all but the volumes; for records that cannot be opened")
	c.RunE = func(c *cobra.Command, _ []string) error {
		question := "This erases the data partition: containers, images, volumes, logs, receipts and the box's identity"
		if *keep {
			question = "This erases containers, images, logs and the box's identity; volumes stay, records and ledger are set aside"
		}
		if !*yes {
			if err := env.confirm(c.Context(), question); err != nil {
				return err
			}
		}
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			if _, err := b.ResetData(ctx, connect.NewRequest(&entroosv1.ResetDataRequest{KeepVolumes: *keep})); err != nil {
				return err
			}
			return env.println("`reboot` begins with new data.")
		})
	}
	return c
}

func yesFlag(c *cobra.Command) *bool {
	return c.Flags().BoolP("yes", "y", false, "do not ask")
}

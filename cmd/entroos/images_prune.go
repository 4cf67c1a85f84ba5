package main

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func newImagesPruneCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "prune", Short: "Remove the images that no container uses", Args: cobra.NoArgs,
		Long: "Remove the images that no container uses, running or not, and what imports that were cut short have left.\n" +
			"Images that are built into the box come back at the next boot.",
	}
	yes := yesFlag(c)
	c.Flags().BoolVarP(yes, "force", "f", false, "the same, as docker has it")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !*yes {
			if err := env.confirm(c.Context(), "This removes all images that no container uses"); err != nil {
				return err
			}
		}
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.PruneImages(ctx, connect.NewRequest(&entroosv1.PruneImagesRequest{}))
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(jsonMessage{res.Msg})
			}
			for _, i := range res.Msg.Removed {
				for _, reference := range i.References {
					if err := env.println("Untagged: " + reference); err != nil {
						return err
					}
				}
				if err := env.println("Deleted: " + i.Digest); err != nil {
					return err
				}
			}
			return env.println(fmt.Sprintf("Freed: %s", units.HumanSizeWithPrecision(float64(res.Msg.FreedBytes), 3)))
		})
	}
	return c
}

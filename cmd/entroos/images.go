package main

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/equations"
)

func newImagesCommand(env *environment) *cobra.Command {
	c := &cobra.Command{Use: "images", Short: "List the images", Args: cobra.NoArgs}
	asJSON := jsonFlag(c)
	c.AddCommand(newImagesPruneCommand(env))
	quiet := c.Flags().BoolP("quiet", "q", false, "print only the digests")
	noTrunc := c.Flags().Bool("no-trunc", false, "print whole digests")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.ListImages(ctx, connect.NewRequest(&entroosv1.ListImagesRequest{}))
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(jsonList(res.Msg.Images))
			}
			return env.printImages(res.Msg.Images, *quiet, *noTrunc)
		})
	}
	return c
}

func (env *environment) printImages(images []*entroosv1.Image, quiet, noTrunc bool) error {
	digest := func(i *entroosv1.Image) string {
		if noTrunc {
			return i.Digest
		}
		return shortID(i.Digest)
	}
	if quiet {
		for _, i := range images {
			if err := env.println(digest(i)); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable("IMAGE", "DIGEST", "SIZE", "ENTROPY", "IMPORTED", "CREATED")
	for _, i := range images {
		references := i.References
		if len(references) == 0 {
			references = []string{"<none>"}
		}
		for _, reference := range references {
			t.row(reference, digest(i), units.HumanSizeWithPrecision(float64(i.SizeBytes), 3), entropyText(i),
				ago(i.ImportedUnixNano), ago(i.CreatedUnixNano))
		}
	}
	return env.printTable(t)
}

// entropyText is E_c, or "unknown" for an image that was not measured.
func entropyText(i *entroosv1.Image) string {
	switch {
	case i.Entropy == nil:
		return "unknown"
	case i.GetEntropyBits() > 0: // in bits per byte
		return fmt.Sprintf("%.3f", equations.NormalisedEntropy(i.GetEntropyBits(), 256))
	}
	return fmt.Sprintf("%.3f", i.GetEntropy()) // a box that does not tell H
}

func newRmiCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "rmi IMAGE...", Short: "Remove images", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: env.completeImages,
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		return env.forEach(c.Context(), args, func(ctx context.Context, b *box, image string) error {
			_, err := b.RemoveImage(ctx, connect.NewRequest(&entroosv1.RemoveImageRequest{Image: image}))
			return err
		})
	}
	return c
}

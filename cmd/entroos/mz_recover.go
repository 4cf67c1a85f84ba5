package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/entroos/entroos/morphzip"
)

func newMzRecoverCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "recover FILE -o OUT", Short: "Save what is intact in a damaged file",
		Long: "Writes the content of all blocks of a damaged file that are intact, and says which bytes are lost (status 2).",
		Args: cobra.ExactArgs(1),
	}
	output := c.Flags().StringP("output", "o", "", "write to FILE; - is the standard output")
	force := c.Flags().BoolP("force", "f", false, "overwrite it")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *output == "" {
			return errors.New("what is intact needs a place: -o FILE")
		}
		return env.mzFiles(args, func(name string) error { return env.recover(c.Context(), name, *output, *force) })
	}
	return c
}

func (env *environment) recover(ctx context.Context, name, output string, force bool) error {
	in, err := env.openMz(ctx, name)
	if err != nil {
		return err
	}
	defer in.done()
	if in.size() < 0 {
		return errors.New("is no regular file: copy it to one")
	}
	var found *morphzip.Recovery
	write := func(out *os.File) error {
		return during(ctx, func() error {
			buffered := bufio.NewWriterSize(env.stdout, 256<<10)
			if out != nil {
				buffered.Reset(out)
			}
			var err error
			found, err = morphzip.Recover(buffered, in.file, in.size())
			return errors.Join(err, buffered.Flush())
		})
	}
	if output == "-" {
		err = write(nil)
	} else {
		_, err = whole(ctx, output, in.like(), force, write)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stderr, "%s: %d bytes recovered, of %d intact blocks\n", name, found.Bytes, found.Blocks)
	for _, loss := range found.Lost {
		size := "an unknown number of bytes"
		if loss.Size > 0 {
			size = fmt.Sprintf("%d bytes", loss.Size)
		}
		reason := strings.ReplaceAll(loss.Reason.Error(), "; `mz recover` saves its intact blocks", "")
		fmt.Fprintf(env.stderr, "%s: %s from byte %d on are lost (after byte %d of what was recovered): %s\n", name, size, loss.Offset, loss.After, reason)
	}
	if !found.Complete() {
		return warning(errors.New("not all of it could be recovered"))
	}
	return nil
}

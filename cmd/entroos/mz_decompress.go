package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/entroos/entroos/morphzip"
)

func newMzDecompressCommand(env *environment) *cobra.Command {
	f := &mzFlags{}
	c := &cobra.Command{
		Use: "decompress [FILE...]", Short: "Decompress files", Aliases: []string{"uncompress"},
		Long: "Decompresses each FILE.mz to FILE, which takes its place, mode and time; the standard input, or -, to the\n" +
			"standard output. A file that is damaged gives none: `mz recover` saves what is intact of it.",
		Args: cobra.ArbitraryArgs,
	}
	f.addCommon(c.Flags())
	c.Flags().BoolVarP(&f.test, "test", "t", false, "write nothing: tell whether the files are intact")
	c.Flags().SortFlags = false
	c.RunE = func(c *cobra.Command, args []string) error { return f.decompress(c.Context(), env, args) }
	return c
}

func (f *mzFlags) decompress(ctx context.Context, env *environment, names []string) error {
	env.noProgress = f.quiet
	if err := f.checkOutput(names); err != nil {
		return err
	}
	return env.mzFiles(names, func(name string) error {
		target := f.output
		if !f.toStdout(name) && !f.test && target == "" {
			var ok bool
			if target, ok = strings.CutSuffix(name, mzSuffix); !ok || target == "" || strings.HasSuffix(target, "/") {
				return warning(fmt.Errorf("has not the suffix %s; left out", mzSuffix))
			}
		}
		in, err := env.openCompressed(ctx, name)
		if err != nil {
			return err
		}
		defer in.done()
		switch {
		case f.test:
			err := env.decompress(ctx, io.Discard, in)
			if err == nil && f.verbose {
				fmt.Fprintf(env.stderr, "%s: intact\n", mzName(name))
			}
			return err
		case f.toStdout(name):
			return env.decompress(ctx, env.stdout, in)
		}
		if err := f.replaceable(in); err != nil {
			return err
		}
		done, err := whole(ctx, target, in.like(), f.force, func(out *os.File) error { return env.decompress(ctx, out, in) })
		if !done {
			return err
		}
		return errors.Join(f.finished(env, in, target), err)
	})
}

// openCompressed opens a file that is to be decompressed, which is not what is
// typed.
func (env *environment) openCompressed(ctx context.Context, name string) (*mzInput, error) {
	if name == "-" && env.terminal != nil {
		return nil, errors.New("compressed bytes are not read from a terminal; name a file")
	}
	return env.openMz(ctx, name)
}

func newMzCatCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "cat [FILE...]", Short: "Print the content of compressed files",
		Long: "Prints the content of compressed files, one after the other. With --offset or --length it is read by the\n" +
			"file's index: blocks before and behind are not touched.",
		Args: cobra.ArbitraryArgs,
	}
	offset := c.Flags().Uint64("offset", 0, "begin at this byte of the content")
	length := c.Flags().Uint64("length", 0, "print so many bytes; 0 is to the end")
	c.RunE = func(c *cobra.Command, names []string) error {
		env.noProgress = env.columns() > 0 // where the content is
		part := c.Flags().Changed("offset") || c.Flags().Changed("length")
		if part && (len(names) != 1 || names[0] == "-") {
			return errors.New("--offset and --length are for one file")
		}
		return env.mzFiles(names, func(name string) error {
			in, err := env.openCompressed(c.Context(), name)
			if err != nil {
				return err
			}
			defer in.done()
			if part {
				return env.catPart(c.Context(), in, *offset, *length)
			}
			return env.decompress(c.Context(), env.stdout, in)
		})
	}
	return c
}

// catPart prints so many bytes from an offset on; 0 is to the end.
func (env *environment) catPart(ctx context.Context, in *mzInput, offset, length uint64) error {
	f, err := in.open()
	if f == nil {
		return err
	}
	if length == 0 || length > f.Size()-min(offset, f.Size()) {
		length = f.Size() - min(offset, f.Size())
	} else {
		err = nil // what is wrong with the end is behind
	}
	return during(ctx, func() error {
		_, failed := io.Copy(env.stdout, io.NewSectionReader(f, int64(offset), int64(length)))
		return errors.Join(failed, err)
	})
}

// open opens the file for reading any part of it.
func (in *mzInput) open() (*morphzip.File, error) {
	if in.size() < 0 {
		return nil, errors.New("is no regular file: it is read from its beginning only")
	}
	return morphzip.Open(in.file, in.size())
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/morphzip"
)

// mzFlags are those of `mz compress` and `mz decompress`.
type mzFlags struct {
	level                       morphzip.Level
	stdout, keep, force, append bool
	quiet, verbose, test        bool
	output                      string
	workers                     int
}

// levelFlag is one of -1 to -9.
type levelFlag struct {
	level *morphzip.Level
	is    morphzip.Level
}

func (f levelFlag) String() string   { return "" }
func (f levelFlag) Type() string     { return "bool" }
func (f levelFlag) IsBoolFlag() bool { return true }
func (f levelFlag) Set(string) error { *f.level = f.is; return nil }

func (f *mzFlags) addLevels(flags *pflag.FlagSet) {
	f.level = morphzip.Default
	for level := morphzip.Fastest; level <= morphzip.Densest; level++ {
		name, usage := "level-"+strconv.Itoa(int(level)), ""
		switch level {
		case morphzip.Fastest:
			name, usage = "fast", "the fastest level; -2 to -8 are between"
		case morphzip.Densest:
			name, usage = "best", "the densest level"
		}
		flag := flags.VarPF(levelFlag{&f.level, level}, name, strconv.Itoa(int(level)), usage)
		flag.NoOptDefVal = "true"
		flag.Hidden = usage == ""
	}
}

func (f *mzFlags) addCommon(flags *pflag.FlagSet) {
	flags.BoolVarP(&f.stdout, "stdout", "c", false, "write to the standard output, and keep the files")
	flags.BoolVarP(&f.keep, "keep", "k", false, "keep the files")
	flags.BoolVarP(&f.force, "force", "f", false, "overwrite files; write to a terminal")
	flags.StringVarP(&f.output, "output", "o", "", "write to FILE, and keep the one that is read")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "show no progress")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "tell what became of each file")
}

func newMzCompressCommand(env *environment) *cobra.Command {
	f := &mzFlags{}
	c := &cobra.Command{
		Use: "compress [-1..-9] [FILE...]", Short: "Compress files",
		Long: "Compresses each file to FILE.mz, which takes its place, mode and time; the standard input, or -, to the\n" +
			"standard output. What comes back is the same, byte for byte, whatever it is.\n\n" +
			"-1 is as fast as it goes, -3, the default, takes log lines apart at tens of MB/s; -7 is dense, for large\n" +
			"logs, in 64 MB of memory; -9 is the densest, and slow (512 MB).",
		Args: cobra.ArbitraryArgs,
	}
	f.addLevels(c.Flags())
	f.addCommon(c.Flags())
	c.Flags().BoolVar(&f.append, "append", false, "append to the file of -o")
	c.Flags().IntVar(&f.workers, "workers", 0, "code so many blocks at a time (default: one for each CPU up to -6)")
	c.Flags().SortFlags = false
	c.RunE = func(c *cobra.Command, args []string) error { return f.compress(c.Context(), env, args) }
	return c
}

func (f *mzFlags) compress(ctx context.Context, env *environment, names []string) error {
	env.noProgress = f.quiet
	if f.level == morphzip.Dense { // which is for little memory
		defer debug.SetGCPercent(debug.SetGCPercent(15))
	}
	if f.append {
		if f.output == "" || f.stdout {
			return errors.New("--append needs the file to append to: -o FILE")
		}
		return f.appendTo(ctx, env, names)
	}
	if err := f.checkOutput(names); err != nil {
		return err
	}
	return env.mzFiles(names, func(name string) error {
		in, err := env.openMz(ctx, name)
		if err != nil {
			return err
		}
		defer in.done()
		if f.toStdout(name) {
			if env.columns() > 0 && !f.force {
				return errors.New("compressed bytes are not for a terminal; -f writes them to it all the same")
			}
			return f.compressTo(ctx, env, env.stdout, in)
		}
		target := f.output
		if target == "" {
			if strings.HasSuffix(name, mzSuffix) && !f.force {
				return warning(fmt.Errorf("has the suffix %s already; left out", mzSuffix))
			}
			target = name + mzSuffix
		}
		if err := f.replaceable(in); err != nil {
			return err
		}
		done, err := whole(ctx, target, in.like(), f.force, func(out *os.File) error { return f.compressTo(ctx, env, out, in) })
		if !done {
			return err
		}
		return errors.Join(f.finished(env, in, target), err)
	})
}

// checkOutput: one file cannot take two.
func (f *mzFlags) checkOutput(names []string) error {
	if f.output != "" && len(names) > 1 {
		return errors.New("-o is for one file; `cat`, or -c, makes one of many")
	}
	if f.output != "" && f.stdout {
		return errors.New("-o and -c are two places")
	}
	return nil
}

func (f *mzFlags) toStdout(name string) bool { return f.stdout || name == "-" && f.output == "" }

// compressTo compresses one file.
func (f *mzFlags) compressTo(ctx context.Context, env *environment, out io.Writer, in *mzInput) error {
	p := env.mzProgress(in)
	defer p.end()
	return during(ctx, func() error {
		buffered := bufio.NewWriterSize(&countingWriter{out, p}, 64<<10)
		w, err := morphzip.NewWriter(buffered, f.options())
		if err != nil {
			return err
		}
		if err := f.copy(ctx, w, &countingReader{in, p}); err != nil {
			return err
		}
		return buffered.Flush()
	})
}

func (f *mzFlags) options() morphzip.Options {
	return morphzip.Options{Level: f.level, Workers: f.workers}
}

// copy writes all of in and ends the file.
func (f *mzFlags) copy(ctx context.Context, w *morphzip.Writer, in io.Reader) error {
	if err := copyAll(w, in); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return w.Close()
}

// copyAll copies in pieces that a run of one byte is counted in quickly.
func copyAll(w io.Writer, r io.Reader) error {
	_, err := io.CopyBuffer(w, r, make([]byte, 256<<10))
	return err
}

// like is whose mode and time the new file has.
func (in *mzInput) like() os.FileInfo {
	if in.info != nil && in.info.Mode().IsRegular() {
		return in.info
	}
	return nil
}

// replaceable says whether a file may be removed when it is done, as it will be.
func (f *mzFlags) replaceable(in *mzInput) error {
	if f.keep || f.force || f.output != "" || in.file == nil {
		return nil
	}
	info, err := os.Lstat(in.name)
	if err != nil {
		return withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return warning(errors.New("is no regular file; left out (-k and -c read it)"))
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		return warning(fmt.Errorf("has %d other links; left out (-k keeps it)", stat.Nlink-1))
	}
	return nil
}

// finished removes the file that was read, unless it is kept, and tells of it.
func (f *mzFlags) finished(env *environment, in *mzInput, target string) error {
	made, err := os.Stat(target)
	if err != nil {
		return err
	}
	if f.verbose {
		tellMade(env, in, target, made.Size())
	}
	if f.keep || f.output != "" || in.file == nil || os.SameFile(made, in.info) {
		return nil
	}
	return os.Remove(in.name)
}

// tellMade is -v: access.log: 279.1 kB -> access.log.mz, 9.4 kB (0.0337)
func tellMade(env *environment, in *mzInput, target string, made int64) {
	size := func(n int64) string { return units.HumanSizeWithPrecision(float64(n), 4) }
	if in.size() < 0 {
		fmt.Fprintf(env.stderr, "%s -> %s, %s\n", mzName(in.name), target, size(made))
		return
	}
	fmt.Fprintf(env.stderr, "%s: %s -> %s, %s (%.4f)\n", mzName(in.name), size(in.size()), target, size(made),
		equations.CompressionRatio(uint64(made), uint64(in.size())))
}

// Command largelogs has four real programs write large logs, which benchmarks
// compress: the Linux kernel in a virtual machine, nginx and redis from Debian,
// and ledgerd. Loads are seeded; what the programs write of them (times, ports,
// addresses) is as it happens.
//
//	largelogs -out FOLDER [-bytes N] [-seed N] [PROGRAM...]
//
// A log that is there already, as long as asked, is left as it is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// A load has a program write a log.
type load struct {
	program string
	// write makes the program write at least so many bytes to the file log;
	// what else it needs is put into dir.
	write func(ctx context.Context, dir, log string, bytes int64, seed uint64) error
}

var loads = []load{{"kernel", kernel}, {"nginx", nginx}, {"redis", redis}, {"ledgerd", ledgerd}}

func main() {
	out := flag.String("out", "", "folder for PROGRAM.log")
	bytes := flag.Int64("bytes", 200_000_000, "size of each log")
	seed := flag.Uint64("seed", 1, "seed of the loads")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *out, *bytes, *seed, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "largelogs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, bytes int64, seed uint64, programs []string) error {
	if out == "" {
		return errors.New("say with -out which folder the logs are for")
	}
	for _, p := range programs {
		if !slices.ContainsFunc(loads, func(l load) bool { return l.program == p }) {
			return fmt.Errorf("there is no load for %q", p)
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, l := range loads {
		if len(programs) > 0 && !slices.Contains(programs, l.program) {
			continue
		}
		if err := l.make(ctx, filepath.Join(out, l.program+".log"), bytes, seed); err != nil {
			return fmt.Errorf("%s: %w", l.program, err)
		}
	}
	return nil
}

// make makes the log, unless it is there.
func (l load) make(ctx context.Context, path string, bytes int64, seed uint64) (err error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() == bytes {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Not under the user's temporary folder: a unix socket's path is short.
	dir, err := os.MkdirTemp("", "largelogs")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	begin := time.Now()
	partial := path + ".part"
	defer os.Remove(partial) //nolint:errcheck // renamed when all went well
	if err := l.write(ctx, dir, partial, bytes, seed); err != nil {
		return err
	}
	if err := cut(partial, bytes); err != nil {
		return err
	}
	if err := os.Rename(partial, path); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %d bytes in %v\n", path, bytes, time.Since(begin).Round(time.Second))
	return nil
}

// cut leaves the first bytes of a log, which has more.
func cut(path string, bytes int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < bytes {
		return fmt.Errorf("%d bytes were written, %d are wanted: %w", info.Size(), bytes, io.ErrUnexpectedEOF)
	}
	return os.Truncate(path, bytes)
}

// size is how long a file is; it may not be there yet.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/entroos/entroos/morphzip"
)

// mzSuffix is that of compressed files.
const mzSuffix = ".mz"

// exitWarning is gzip's status where something was left out, and nothing failed.
// Under `mz` a wrong command line is an error, 1.
const exitWarning = 2

func newMzCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "mz COMMAND",
		Short: "Compress, read and search files: Morph Zip",
		Long: "Morph Zip compresses files, logs above all: lines are taken apart into templates and columns before they are\n" +
			"coded. A file is searched, and read from any place on, without unpacking all of it; damage is found, and what\n" +
			"is intact is recovered. `cat a.mz b.mz` is a file, too.\n\n" +
			"Exit status: 0; 1 for an error; 2 for a warning, when something was left out.",
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return err })
	c.AddCommand(newMzCompressCommand(env), newMzDecompressCommand(env), newMzCatCommand(env), newMzSearchCommand(env), newMzStatCommand(env), newMzRecoverCommand(env))
	c.AddCommand(hostMzCommands(env)...)
	return c
}

// mzFiles does one thing with each file, the standard input if there is none:
// one that fails does not keep the others. The status is the worst.
func (env *environment) mzFiles(names []string, do func(name string) error) error {
	if len(names) == 0 {
		names = []string{"-"}
	}
	worst := error(nil)
	for _, name := range names {
		err := do(name)
		if err == nil {
			continue
		}
		if cancelled(err) {
			return err
		}
		if status := env.report(fmt.Errorf("%s: %w", mzName(name), err), nil); worst == nil || status == exitError {
			worst = &statusError{status: status}
		}
	}
	return worst
}

// mzName is a file's name for people.
func mzName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

// warning is an error after which everything else was done: status 2.
func warning(err error) error { return &statusError{exitWarning, err} }

// mzInput is a file that is read, or the standard input.
type mzInput struct {
	io.Reader
	file *os.File // nil: the standard input, or none that is a file
	info os.FileInfo
	name string
	done func()
}

// size is how many bytes there are; -1 is not known.
func (in *mzInput) size() int64 {
	if in.info == nil || !in.info.Mode().IsRegular() {
		return -1
	}
	return in.info.Size()
}

// openMz opens a file, or the standard input, whose reading the end of ctx ends.
func (env *environment) openMz(ctx context.Context, name string) (*mzInput, error) {
	if name == "-" {
		in, err := newInterruptibleReader(env.stdin)
		if err != nil {
			return nil, err
		}
		stop := context.AfterFunc(ctx, in.interrupt)
		return &mzInput{Reader: in, name: name, done: func() { stop(); in.close() }}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = warning(errors.New("is a folder; left out"))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &mzInput{Reader: f, file: f, info: info, name: name, done: func() { f.Close() }}, nil
}

// withoutPath is a PathError's reason: whoever reports it names the file.
func withoutPath(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// during runs f, and does not wait for it beyond the end of ctx: a block of a
// dense level may take a minute. What f uses must be made to fail then.
func during(ctx context.Context, f func() error) error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	select {
	case err := <-result:
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// decompress writes the content of a file.
func (env *environment) decompress(ctx context.Context, out io.Writer, in *mzInput) error {
	p := env.mzProgress(in)
	defer p.end()
	return during(ctx, func() error {
		buffered := bufio.NewWriterSize(&countingWriter{out, p}, 256<<10)
		_, err := morphzip.NewReader(&countingReader{in, p}).WriteTo(buffered)
		if flushed := buffered.Flush(); flushed != nil {
			return flushed
		}
		if errors.Is(err, morphzip.ErrTrailing) {
			return warning(err)
		}
		return err
	})
}

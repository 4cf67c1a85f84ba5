package main

import (
	"context"
	"errors"
	"os"

	"github.com/gofrs/flock"

	"github.com/entroos/entroos/morphzip"
)

// appendTo appends the files to that of -o: what is in it stays as it is, and
// if this does not come to its end, is there still.
func (f *mzFlags) appendTo(ctx context.Context, env *environment, names []string) error {
	lock := flock.New(f.output, flock.SetFlag(os.O_RDWR|os.O_CREATE), flock.SetPermissions(0o666))
	if ok, err := lock.TryLock(); err != nil {
		return err
	} else if !ok {
		return errors.New(f.output + " is being appended to already")
	}
	defer lock.Close()
	out, err := os.OpenFile(f.output, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer out.Close()
	info, err := out.Stat()
	if err != nil {
		return err
	}
	w, err := morphzip.Append(out, info.Size(), f.options())
	if err != nil {
		return err
	}
	err = env.mzFiles(names, func(name string) error {
		in, err := env.openMz(ctx, name)
		if err != nil {
			return err
		}
		defer in.done()
		if in.info != nil && os.SameFile(in.info, info) {
			return errors.New("is the file that is appended to")
		}
		p := env.mzProgress(in)
		defer p.end()
		return during(ctx, func() error { return copyAll(w, &countingReader{in, p}) })
	})
	if cancelled(err) {
		return err
	}
	closed := during(ctx, func() error { return errors.Join(w.Close(), out.Sync()) })
	if closed != nil {
		return closed
	}
	return err
}

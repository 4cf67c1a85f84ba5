package main

import (
	"context"
	"errors"
	"fmt"
)

// println prints one line for programs or people to read.
func (env *environment) println(line string) error {
	_, err := fmt.Fprintln(env.stdout, line)
	return err
}

// forEach does one thing with each named thing: as in docker, a name is
// printed when it is done, and one that fails does not keep the others.
func (env *environment) forEach(ctx context.Context, names []string, do func(context.Context, *box, string) error) error {
	return env.withBox(ctx, func(ctx context.Context, b *box) error {
		var failed []error
		for _, name := range names {
			if err := do(ctx, b, name); err != nil {
				if cancelled(err) {
					return err
				}
				failed = append(failed, err)
				continue
			}
			if err := env.println(name); err != nil {
				return err
			}
		}
		for _, err := range failed[:max(0, len(failed)-1)] {
			env.report(err, nil)
		}
		if len(failed) > 0 {
			return failed[len(failed)-1]
		}
		return nil
	})
}

var errNoAnswer = errors.New("the box ended the call without an answer")

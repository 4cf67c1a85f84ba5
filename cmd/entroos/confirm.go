package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// errNotConfirmed ends a command whose question was answered with anything but
// yes.
var errNotConfirmed = errors.New("nothing was changed")

// confirm asks on the terminal before something is lost for good. Without a
// terminal nobody can answer, and --yes must have been given.
func (env *environment) confirm(ctx context.Context, question string) error {
	if env.terminal == nil {
		return usageError(fmt.Errorf("%s; give --yes to go on without being asked", question))
	}
	fmt.Fprintf(env.stderr, "%s.\nType yes to go on: ", question)
	answer, err := env.readLine(ctx)
	if err != nil {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return errNotConfirmed
	}
	return nil
}

// readLine reads one line of the standard input, and not a byte more: what
// follows is for the console. The end of ctx ends it.
func (env *environment) readLine(ctx context.Context) (string, error) {
	in, err := newInterruptibleReader(env.stdin)
	if err != nil {
		return "", err
	}
	defer in.close()
	defer context.AfterFunc(ctx, in.interrupt)()
	var line []byte
	b := make([]byte, 1)
	for {
		n, err := in.Read(b)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case errors.Is(err, io.EOF) || err == nil && n == 0:
			return string(line), nil
		case err != nil:
			return "", err
		case b[0] == '\n':
			return string(line), nil
		}
		line = append(line, b[0])
	}
}

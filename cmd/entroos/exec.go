package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func newExecCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "exec [FLAGS] CONTAINER COMMAND [ARG...]",
		Short: "Run a command in a running container",
		Long:  "Run a command in a running container and end with its exit status; EntroOS's own failures exit with 125.",
		Args:  cobra.MinimumNArgs(2),

		ValidArgsFunction: env.completeRunning,
	}
	c.Flags().SetInterspersed(false) // what follows the container is the command's
	start := &entroosv1.ExecStart{}
	c.Flags().BoolVarP(&start.Stdin, "interactive", "i", false, "keep standard input open")
	c.Flags().BoolVarP(&start.Tty, "tty", "t", false, "give the command a terminal")
	c.Flags().StringArrayVarP(&start.Env, "env", "e", nil, "set an environment variable: `KEY=VALUE`")
	c.Flags().StringVarP(&start.Cwd, "workdir", "w", "", "working directory")
	c.Flags().StringVarP(&start.User, "user", "u", "", "user: `NAME|UID[:GROUP|GID]`")
	failOwn(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		start.Container, start.Args = args[0], args[1:]
		start.Env = environmentEntries(start.Env)
		return ownError(env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			return env.exec(ctx, b, start)
		}))
	}
	return c
}

func (env *environment) exec(ctx context.Context, b *box, start *entroosv1.ExecStart) error {
	a, err := env.newAttachment(start.Stdin, start.Tty)
	if err != nil {
		return err
	}
	start.Window = a.window()
	stream := b.Exec(ctx)
	defer stream.CloseResponse()
	err = stream.Send(&entroosv1.ExecRequest{Request: &entroosv1.ExecRequest_Start{Start: start}})
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: Receive says why
		return err
	}
	var exited *entroosv1.ExecExited
	err = a.run(ctx, func(in *entroosv1.ProcessInput) error {
		return stream.Send(&entroosv1.ExecRequest{Request: &entroosv1.ExecRequest_Input{Input: in}})
	}, func() (bool, error) {
		res, err := stream.Receive()
		if err != nil {
			return false, streamError(err)
		}
		exited = res.GetExited()
		return exited != nil, env.copyOutput(res.GetStdout(), res.GetStderr())
	})
	if errors.Is(err, errLeft) {
		return &statusError{exitSignal + 2, errLeft}
	}
	if err != nil {
		return err
	}
	if err := stream.CloseRequest(); err != nil {
		return err
	}
	if exited.ExitCode != 0 {
		return &statusError{int(exited.ExitCode), nil}
	}
	return nil
}

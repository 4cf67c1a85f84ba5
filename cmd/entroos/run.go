package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func newRunCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "run [FLAGS] IMAGE [ARG...]",
		Short: "Run a container",
		Long: "Run a container. Attached, it prints the container's output and ends with its exit status once the\n" +
			"receipt is on disk; with -d it prints the container's ID. EntroOS's own failures exit with 125.",
		Example: "  run --rm busybox echo hello\n" +
			"  run -d --name web -p 80:80 --restart unless-stopped nginx",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: env.completeImages,
	}
	c.Flags().SetInterspersed(false) // what follows the image is the container's
	var w workloadFlags
	w.add(c.Flags())
	detach := c.Flags().BoolP("detach", "d", false, "leave it running and print its ID")
	asJSON := c.Flags().Bool("json", false, "with -d, print the container as JSON")
	completeFlag(c, "restart", "no", "always", "unless-stopped", "on-failure")
	completeFlag(c, "network", "bridge", "host", "none")
	failOwn(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		spec, err := w.spec(c.Flags(), args)
		if err != nil {
			return ownError(err)
		}
		if *asJSON && !*detach {
			return ownError(errors.New("--json goes with -d: an attached run prints the container's output alone"))
		}
		return ownError(env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			if *detach {
				return env.runDetached(ctx, b, spec, *asJSON)
			}
			return env.runAttached(ctx, b, spec)
		}))
	}
	return c
}

// failOwn makes a wrong command line of c exit with 125, as docker does, where
// 2 may be the container's own exit status.
func failOwn(c *cobra.Command) {
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return ownError(err) })
	args := c.Args
	c.Args = func(c *cobra.Command, a []string) error {
		if err := args(c, a); err != nil {
			return ownError(fmt.Errorf("%s: %w\nusage: %s", c.CommandPath(), err, c.UseLine()))
		}
		return nil
	}
}

func (env *environment) runDetached(ctx context.Context, b *box, spec *entroosv1.WorkloadSpec, asJSON bool) error {
	stream := b.Run(ctx)
	defer stream.CloseResponse()
	created, err := env.startRun(ctx, stream, &entroosv1.RunStart{Spec: spec, Detach: true})
	if err != nil {
		return err
	}
	env.tellQueued(created, "it starts when there is room")
	if asJSON {
		return env.printJSON(jsonMessage{created})
	}
	return env.println(created.Id)
}

// runStream is an attached or detached run.
type runStream = connect.BidiStreamForClient[entroosv1.RunRequest, entroosv1.RunResponse]

// startRun asks for a container and waits until there is one.
func (env *environment) startRun(ctx context.Context, stream *runStream, start *entroosv1.RunStart) (*entroosv1.Container, error) {
	req := &entroosv1.RunRequest{Request: &entroosv1.RunRequest_Start{Start: start}}
	// io.EOF says that the box has ended the call; Receive says why.
	if err := stream.Send(req); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if start.Detach {
		if err := stream.CloseRequest(); err != nil {
			return nil, err
		}
	}
	// The wait for a place may be long. HTTP/2 notices that it is given up only
	// when there is no more of the request to wait for.
	defer context.AfterFunc(ctx, func() { _ = stream.CloseRequest() })()
	for {
		res, err := stream.Receive()
		if err != nil {
			return nil, streamError(err)
		}
		if queued := res.GetQueued(); queued != nil {
			env.tellQueued(queued.GetContainer(), "Ctrl-C gives it up")
			continue
		}
		created := res.GetCreated()
		if created == nil {
			return nil, errNoAnswer
		}
		return created, nil
	}
}

// tellQueued tells of a container that is queued, and what there is to do.
func (env *environment) tellQueued(c *entroosv1.Container, what string) {
	if c.GetState() == entroosv1.ContainerState_CONTAINER_STATE_QUEUED {
		fmt.Fprintf(env.stderr, "entroos: %s is queued: %s; %s\n", c.GetSpec().GetName(), c.GetQueuedReason(), what)
	}
}

// streamError names the end of a stream that ended too early.
func streamError(err error) error {
	if errors.Is(err, io.EOF) {
		return errNoAnswer
	}
	return err
}

func (env *environment) runAttached(ctx context.Context, b *box, spec *entroosv1.WorkloadSpec) error {
	a, err := env.newAttachment(spec.Stdin, spec.Tty)
	if err != nil {
		return err
	}
	stream := b.Run(ctx)
	defer stream.CloseResponse()
	created, err := env.startRun(ctx, stream, &entroosv1.RunStart{Spec: spec, Window: a.window()})
	if err != nil {
		return err
	}
	var exited *entroosv1.RunExited
	err = a.run(ctx, func(in *entroosv1.ProcessInput) error {
		return stream.Send(&entroosv1.RunRequest{Request: &entroosv1.RunRequest_Input{Input: in}})
	}, func() (bool, error) {
		res, err := stream.Receive()
		if err != nil {
			return false, streamError(err)
		}
		exited = res.GetExited()
		return exited != nil, env.copyOutput(res.GetStdout(), res.GetStderr())
	})
	if errors.Is(err, errLeft) {
		return &statusError{exitSignal + 2, fmt.Errorf("left %s running", shortID(created.Id))}
	}
	if err != nil {
		return err
	}
	if err := stream.CloseRequest(); err != nil {
		return err
	}
	return exitedStatus(exited)
}

// exitedStatus is the error with a container's exit status; nil for 0.
func exitedStatus(e *entroosv1.RunExited) error {
	switch {
	case e.Error != "":
		status := exitOwn
		if e.ExitCode != 0 && e.Signal == 0 { // 126 and 127 as in docker
			status = int(e.ExitCode)
		}
		return &statusError{status, errors.New(e.Error)}
	case e.OomKilled && e.Signal == int32(syscall.SIGKILL):
		return &statusError{exitSignal + int(e.Signal), errors.New("the container ran out of memory and was killed")}
	case e.Signal != 0:
		return &statusError{exitSignal + int(e.Signal), nil}
	case e.ExitCode != 0:
		return &statusError{int(e.ExitCode), nil}
	}
	return nil
}

// copyOutput writes what a container wrote.
func (env *environment) copyOutput(stdout, stderr []byte) error {
	if _, err := env.stdout.Write(stdout); err != nil {
		return err
	}
	_, err := env.stderr.Write(stderr)
	return err
}

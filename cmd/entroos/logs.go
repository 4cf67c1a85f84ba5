package main

import (
	"context"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func newLogsCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "logs CONTAINER", Short: "What a container printed", Args: cobra.ExactArgs(1),
		ValidArgsFunction: env.completeContainers,
	}
	var flags logFlags
	flags.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return env.logs(c.Context(), flags, &entroosv1.LogsRequest{Container: args[0]})
	}
	return c
}

func newServiceLogsCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "logs NAME", Short: "What a service printed", Args: cobra.ExactArgs(1),
		ValidArgsFunction: env.completeServices,
	}
	var flags logFlags
	flags.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return env.logs(c.Context(), flags, &entroosv1.LogsRequest{Service: args[0]})
	}
	return c
}

func (env *environment) logs(ctx context.Context, flags logFlags, req *entroosv1.LogsRequest) error {
	if err := flags.request(req, time.Now()); err != nil {
		return usageError(err)
	}
	return env.withBox(ctx, func(ctx context.Context, b *box) error {
		stream, err := b.Logs(ctx, connect.NewRequest(req))
		if err != nil {
			return err
		}
		defer stream.Close()
		out := &logWriter{w: env.stdout, timestamps: flags.timestamps, fresh: true}
		errs := &logWriter{w: env.stderr, timestamps: flags.timestamps, fresh: true}
		for stream.Receive() {
			to := out
			if stream.Msg().Stream == entroosv1.LogsResponse_STREAM_STDERR {
				to = errs
			}
			if err := to.write(stream.Msg()); err != nil {
				return err
			}
		}
		return stream.Err()
	})
}

// logWriter writes log entries, with their time before each line if wanted.
// An entry need not be a whole line.
type logWriter struct {
	w          io.Writer
	timestamps bool
	fresh      bool // at the beginning of a line
}

func (l *logWriter) write(entry *entroosv1.LogsResponse) error {
	data := entry.Data
	if l.timestamps {
		stamp := time.Unix(0, entry.TimeUnixNano).UTC().Format("2006-01-02T15:04:05.000000000Z ")
		var stamped []byte
		for _, b := range data {
			if l.fresh {
				stamped = append(stamped, stamp...)
			}
			stamped = append(stamped, b)
			l.fresh = b == '\n'
		}
		data = stamped
	}
	_, err := l.w.Write(data)
	return err
}

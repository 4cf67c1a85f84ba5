package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"connectrpc.com/connect"
	"github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func newPsCommand(env *environment) *cobra.Command {
	c := &cobra.Command{Use: "ps", Short: "List the containers", Args: cobra.NoArgs}
	asJSON := jsonFlag(c)
	all := c.Flags().BoolP("all", "a", false, "list the ended ones too")
	quiet := c.Flags().BoolP("quiet", "q", false, "print only the IDs")
	noTrunc := c.Flags().Bool("no-trunc", false, "print whole IDs and commands")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.ListContainers(ctx, connect.NewRequest(&entroosv1.ListContainersRequest{All: *all}))
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(jsonList(res.Msg.Containers))
			}
			return env.printContainers(res.Msg.Containers, *quiet, *noTrunc)
		})
	}
	return c
}

// commandLength is how much of a command a table shows, in characters.
const commandLength = 30

func (env *environment) printContainers(containers []*entroosv1.Container, quiet, noTrunc bool) error {
	id := func(c *entroosv1.Container) string {
		if noTrunc {
			return c.Id
		}
		return shortID(c.Id)
	}
	if quiet {
		for _, c := range containers {
			if err := env.println(id(c)); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable("CONTAINER ID", "NAME", "IMAGE", "STATUS", "PORTS", "COMMAND")
	for _, c := range containers {
		command := shellquote.Join(append(append([]string(nil), c.GetSpec().GetEntrypoint()...), c.GetSpec().GetArgs()...)...)
		if !noTrunc {
			command = clip(command, commandLength)
		}
		t.row(id(c), c.GetSpec().GetName(), c.GetSpec().GetImage(), containerStatus(c), dash(portsText(c.GetSpec().GetPorts())), dash(command))
	}
	return env.printTable(t)
}

// containerStatus is docker's sentence on a container's state.
func containerStatus(c *entroosv1.Container) string {
	switch c.State {
	case entroosv1.ContainerState_CONTAINER_STATE_RUNNING:
		return "Up " + durationSince(c.StartedUnixNano)
	case entroosv1.ContainerState_CONTAINER_STATE_CREATED:
		if c.Error != "" {
			return "Created: " + c.Error
		}
		return "Created"
	case entroosv1.ContainerState_CONTAINER_STATE_QUEUED:
		return "Queued " + durationSince(c.QueuedUnixNano) + ": " + c.QueuedReason
	case entroosv1.ContainerState_CONTAINER_STATE_RESTARTING:
		return fmt.Sprintf("Restarting (%d) %s", exitNumber(c), ago(c.FinishedUnixNano))
	case entroosv1.ContainerState_CONTAINER_STATE_EXITED:
		text := fmt.Sprintf("Exited (%d) %s", exitNumber(c), ago(c.FinishedUnixNano))
		switch {
		case c.OomKilled:
			text += ", out of memory"
		case c.Error != "":
			text += ": " + c.Error
		}
		return text
	}
	return enumWord(c.State.Descriptor(), c.State.Number())
}

// exitNumber is the exit status as a shell would see it.
func exitNumber(c *entroosv1.Container) int32 {
	if c.Signal != 0 {
		return exitSignal + c.Signal
	}
	return c.ExitCode
}

func portsText(ports []*entroosv1.PortMapping) string {
	var texts []string
	for _, p := range ports {
		host := fmt.Sprint(p.HostPort)
		if p.HostIp != "" {
			host = net.JoinHostPort(p.HostIp, host)
		}
		texts = append(texts, fmt.Sprintf("%s->%d/%s", host, p.ContainerPort, p.Protocol))
	}
	return strings.Join(texts, ", ")
}

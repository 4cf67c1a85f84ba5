package main

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// newDisksCommand is `disks`.
func newDisksCommand(env *environment) *cobra.Command {
	c := &cobra.Command{Use: "disks", Short: "List the box's disks", Args: cobra.NoArgs}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.ListDisks(ctx, connect.NewRequest(&entroosv1.ListDisksRequest{}))
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(jsonList(res.Msg.Disks))
			}
			return env.printDisks(res.Msg.Disks)
		})
	}
	return c
}

func (env *environment) printDisks(disks []*entroosv1.Disk) error {
	t := newTable("DISK", "SIZE", "CONTENT", "NOTE", "MODEL")
	for _, d := range disks {
		note := "-"
		switch {
		case d.Boot:
			note = "the box runs from it"
		case d.Removable:
			note = "removable"
		}
		t.row(d.Device, units.HumanSizeWithPrecision(float64(d.SizeBytes), 3), d.Content, note, dash(d.Model))
	}
	return env.printTable(t)
}

// newInstallCommand is `install`: from the stick to the box's own disk.
func newInstallCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "install [DISK]", Short: "Put EntroOS on a disk of the box", Args: cobra.MaximumNArgs(1),
		Long: "Puts the system that runs, with the box's settings, on another disk (as from a USB stick to the box's SSD),\n" +
			"reads all of it back, and has the firmware start it first from then on. The disk starts without containers,\n" +
			"images and volumes, and with an identity of its own. Without DISK it lists the disks.",
		ValidArgsFunction: env.completeDisks,
	}
	force := c.Flags().Bool("force", false, "erase a disk that is not empty")
	quiet := c.Flags().BoolP("quiet", "q", false, "show no progress")
	yes := yesFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.ListDisks(ctx, connect.NewRequest(&entroosv1.ListDisksRequest{}))
			if err != nil {
				return err
			}
			if len(args) == 0 {
				if err := env.printDisks(res.Msg.Disks); err != nil {
					return err
				}
				return env.println("`install DISK` puts EntroOS on one of them.")
			}
			if !*yes {
				if err := env.confirm(ctx, "This erases all that is on "+diskText(res.Msg.Disks, args[0])); err != nil {
					return err
				}
			}
			return env.install(ctx, b, &entroosv1.InstallRequest{Device: args[0], Force: *force}, *quiet)
		})
	}
	return c
}

// install installs and shows how far it is.
func (env *environment) install(ctx context.Context, b *box, r *entroosv1.InstallRequest, quiet bool) error {
	stream, err := b.Install(ctx, connect.NewRequest(r))
	if err != nil {
		return err
	}
	defer stream.Close()
	bar := &progressBar{out: env.stderr, columns: env.columns(), quiet: quiet}
	defer bar.clear()
	var last *entroosv1.InstallResponse
	for stream.Receive() {
		last = stream.Msg()
		if last.TotalBytes > 0 {
			bar.show(last.Step, int64(last.DoneBytes), int64(last.TotalBytes))
		}
	}
	bar.clear()
	if err := stream.Err(); err != nil {
		return err
	}
	if last == nil {
		return errNoAnswer
	}
	text := fmt.Sprintf("EntroOS is on %s, read back and verified; %s.", r.Device, last.Step)
	if last.Warning != "" {
		text = fmt.Sprintf("EntroOS is on %s, read back and verified. But %s.", r.Device, last.Warning)
	}
	if err := env.println(text); err != nil {
		return err
	}
	return env.println("`reboot` starts from it; the stick may stay in.")
}

// diskText is a disk for people.
func diskText(disks []*entroosv1.Disk, device string) string {
	for _, d := range disks {
		if d.Device == device || d.Device == "/dev/"+device {
			return fmt.Sprintf("%s (%s, %s, %s)", d.Device, dash(d.Model), units.HumanSizeWithPrecision(float64(d.SizeBytes), 3), d.Content)
		}
	}
	return device
}

// completeDisks completes the disks on which the box does not run.
func (env *environment) completeDisks(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return env.completeFirst(c, args, func(ctx context.Context, b *box) ([]string, error) {
		res, err := b.ListDisks(ctx, connect.NewRequest(&entroosv1.ListDisksRequest{}))
		if err != nil {
			return nil, err
		}
		var names []string
		for _, d := range res.Msg.Disks {
			if !d.Boot {
				names = append(names, d.Device)
			}
		}
		return names, nil
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// The groups of commands in `help`.
const (
	groupBox        = "box"
	groupImages     = "images"
	groupContainers = "containers"
	groupLedger     = "ledger"
	groupFiles      = "files"
	groupHost       = "host"
)

// newRoot makes the command tree. A tree is used for one command line: its
// flags keep their values.
func newRoot(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:               "entroos COMMAND",
		Short:             "Administer an EntroOS box",
		Long:              "EntroOS runs OCI containers on small boxes and leaves a signed receipt for each execution.",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: env.console},
	}
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.PersistentFlags().StringVar(&env.admin, "admin", env.admin, "the box's admin API: unix:PATH or vsock:CID:PORT")
	if env.console {
		hide(root, "admin")
	} else {
		boxFlags(env, root)
	}
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{groupContainers, "Containers:", []*cobra.Command{
			newRunCommand(env), newPsCommand(env), newLogsCommand(env), newExecCommand(env), newStopCommand(env),
			newStartCommand(env), newKillCommand(env), newRmCommand(env),
		}},
		{groupImages, "Images:", []*cobra.Command{newImagesCommand(env), newImportCommand(env), newRmiCommand(env)}},
		{groupLedger, "Receipts:", []*cobra.Command{newLedgerCommand(env)}},
		{groupBox, "The box:", []*cobra.Command{
			newStatusCommand(env), newTopCommand(env), newRouterCommand(env), newServicesCommand(env), newEquationsCommand(env),
			newConfigCommand(env), newDisksCommand(env),
			newInstallCommand(env), newDataCommand(env), newRebootCommand(env), newPowerOffCommand(env), newVersionCommand(env),
		}},
		{groupFiles, "Files:", fileCommands(env)},
		{groupHost, "Building and running EntroOS:", hostCommands(env)},
	} {
		if len(g.commands) == 0 {
			continue
		}
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	if env.console {
		root.AddCommand(newExitCommand(), newMzCommand(env))
		shortenHelp(root)
	} else {
		root.AddCommand(newConsoleCommand(env), newRemoteCommand(env))
	}
	wrapHelp(env, root)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	cobra.EnableCommandSorting = false
	finish(root)
	return root
}

// finish makes every wrong command line of the tree a usage error.
func finish(c *cobra.Command) {
	c.DisableFlagsInUseLine = true
	if c.HasSubCommands() && c.Run == nil && c.RunE == nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknownCommand(c, args[0])
		}
		c.Args = cobra.ArbitraryArgs
	}
	if args := c.Args; args != nil {
		c.Args = func(c *cobra.Command, a []string) error {
			var status *statusError
			if err := args(c, a); errors.As(err, &status) {
				return err
			} else if err != nil {
				return usageError(fmt.Errorf("%s: %w\nusage: %s", c.CommandPath(), err, c.UseLine()))
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		finish(sub)
	}
}

// fileCommands need no box. The console has them, too, and its short help not.
func fileCommands(env *environment) []*cobra.Command {
	if env.console {
		return nil
	}
	return []*cobra.Command{newMzCommand(env)}
}

func unknownCommand(c *cobra.Command, name string) error {
	text := fmt.Sprintf("unknown command %q for %q", name, c.CommandPath())
	c.SuggestionsMinimumDistance = min(2, max(1, len(name)-2)) // two wrong letters in two are no likeness
	if near := c.SuggestionsFor(name); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	} else {
		text += "; `help` lists them"
	}
	return usageError(fmt.Errorf("%s", text))
}

// withBox gives a command its box.
func (env *environment) withBox(ctx context.Context, do func(context.Context, *box) error) error {
	b, err := env.dialBox()
	if err != nil {
		return err
	}
	defer b.close()
	return do(ctx, b)
}

// hide keeps a flag out of the help.
func hide(c *cobra.Command, flag string) {
	if err := c.PersistentFlags().MarkHidden(flag); err != nil {
		panic(err) // there is no such flag
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/config"
)

func newConfigCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "config", Short: "The box's settings, appliance.yaml",
		Long: "The box's settings. Its own appliance.yaml, on the settings partition, overrides the one built into the\n" +
			"image key by key: maps are merged, lists replaced as a whole.",
	}
	c.AddCommand(newConfigShowCommand(env), newConfigCheckCommand(env), newConfigSetCommand(env), newConfigUnsetCommand(env),
		newConfigResetCommand(env), newConfigPasswordCommand(env),
		env.newTextCommand("example", "Print a commented appliance.yaml to begin with", config.Example),
		env.newTextCommand("schema", "Print the JSON Schema of appliance.yaml, for editors", config.Schema))
	return c
}

// newTextCommand makes a command that prints a text.
func (env *environment) newTextCommand(use, short, text string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(env.stdout, text)
			return err
		},
	}
}

func newConfigShowCommand(env *environment) *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Show the settings that hold", Args: cobra.NoArgs}
	builtIn := c.Flags().Bool("built-in", false, "show the file built into the image")
	own := c.Flags().Bool("own", false, "show the box's own file")
	c.MarkFlagsMutuallyExclusive("built-in", "own")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.GetConfig(ctx, connect.NewRequest(&entroosv1.GetConfigRequest{}))
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(jsonMessage{res.Msg})
			}
			text := res.Msg.Effective
			switch {
			case *builtIn:
				text = res.Msg.BuiltIn
			case *own:
				text = res.Msg.Own
			}
			if _, err := io.WriteString(env.stdout, printableText(text)); err != nil {
				return err
			}
			if res.Msg.Problem != "" && !*builtIn {
				return fmt.Errorf("the box's own settings are not followed, and the built-in ones are:\n%s", res.Msg.Problem)
			}
			return nil
		})
	}
	return c
}

// printableText takes from a file what a terminal would obey.
func printableText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, text)
}

func newConfigCheckCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "check [FILE|-]", Short: "Check settings",
		Long: "Check a file of settings, without a box; or, without a FILE, the box's own.",
		Args: cobra.MaximumNArgs(1),
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 1 {
			text, err := env.readSettings(args[0])
			if err != nil {
				return err
			}
			if _, err := config.Parse(args[0], text); err != nil {
				return err
			}
			return env.println(args[0] + " is in order")
		}
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.GetConfig(ctx, connect.NewRequest(&entroosv1.GetConfigRequest{}))
			switch {
			case err != nil:
				return err
			case res.Msg.Problem != "":
				return errors.New(res.Msg.Problem)
			case res.Msg.Own == "":
				return env.println("the box has no settings of its own; the built-in ones are in order")
			}
			return env.println("the box's settings are in order")
		})
	}
	return c
}

// readSettings reads a file of settings, or "-".
func (env *environment) readSettings(name string) ([]byte, error) {
	var source io.Reader = env.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		source = f
	}
	return io.ReadAll(io.LimitReader(source, config.MaxSize+1)) // what is too large is refused
}

func newConfigSetCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "set KEY VALUE | --file FILE", Short: "Change the box's own settings",
		Long: "Change one key of the box's own settings, or the whole file. The value is YAML: a list is '[one, two]'.\n" +
			"What is wrong is refused and changes nothing; the rest of the file stays as it is, comments included.",
		Example: "  config set hostname cupboard\n" +
			"  config set ssh.authorized_keys '[ssh-ed25519 AAAAC3Nz... you@laptop]'\n" +
			"  config set network.dns '[192.168.1.1]'\n" +
			"  config set network.interfaces.eth0 '{addresses: [192.168.1.7/24], gateway: 192.168.1.1}'",
		Args: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("file") {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(2)(c, args)
		},
		ValidArgsFunction: completeKeys,
	}
	file := c.Flags().String("file", "", "put this file, or - for the standard input, in the place of the box's own")
	c.RunE = func(c *cobra.Command, args []string) error {
		request := &entroosv1.SetConfigRequest{}
		if c.Flags().Changed("file") {
			text, err := env.readSettings(*file)
			if err != nil {
				return err
			}
			if len(bytes.TrimSpace(text)) == 0 {
				return fmt.Errorf("%s is empty; `config reset` takes the box's own settings away", *file)
			}
			if _, err := config.Parse(*file, text); err != nil {
				return err
			}
			request.File = string(text)
		} else {
			if args[1] == "" {
				return usageError(fmt.Errorf("there is no value; `config unset %s` takes the key away", args[0]))
			}
			request.Key, request.Value = args[0], args[1]
		}
		return env.setConfig(c.Context(), request)
	}
	return c
}

func newConfigUnsetCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "unset KEY", Short: "Take a key out of the box's own settings", Args: cobra.ExactArgs(1), ValidArgsFunction: completeKeys,
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] == "" {
				return usageError(errors.New("there is no key; `config reset` takes all of the box's own settings away"))
			}
			return env.setConfig(c.Context(), &entroosv1.SetConfigRequest{Key: args[0]})
		},
	}
}

func newConfigResetCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "reset", Short: "Take the box's own settings away: the built-in ones hold", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return env.setConfig(c.Context(), &entroosv1.SetConfigRequest{})
		},
	}
}

// setConfig changes the settings and says when they take effect.
func (env *environment) setConfig(ctx context.Context, r *entroosv1.SetConfigRequest) error {
	return env.withBox(ctx, func(ctx context.Context, b *box) error {
		res, err := b.SetConfig(ctx, connect.NewRequest(r))
		if err != nil {
			return err
		}
		if len(res.Msg.PendingKeys) > 0 {
			return env.println("saved; " + strings.Join(res.Msg.PendingKeys, " and ") +
				" take effect with an image that is built with them (`image build --config`), all else now")
		}
		return env.println("saved, and in effect")
	})
}

// completeKeys completes the keys of appliance.yaml.
func completeKeys(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var keys []string
	for _, key := range config.Keys() {
		if strings.HasPrefix(key, toComplete) {
			keys = append(keys, key)
		}
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}

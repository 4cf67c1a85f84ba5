//go:build !box

package main

import "github.com/spf13/cobra"

// hostCommands are those that only an operator's machine has. The binary on
// the box is built with the tag "box" and has none of them.
func hostCommands(env *environment) []*cobra.Command {
	if env.console {
		return nil
	}
	return []*cobra.Command{newVMCommand(env), newFlashCommand(env), newImageCommand(), newKernelCommand(), newSimulateCommand(env)}
}

// hostMzCommands are those of Morph Zip that only an operator's machine has.
func hostMzCommands(env *environment) []*cobra.Command {
	return []*cobra.Command{newMzBenchCommand(env)}
}

// mainOf: under any name this is the same command.
func mainOf(string) func([]string) int { return nil }

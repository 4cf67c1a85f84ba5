//go:build box

package main

import "github.com/spf13/cobra"

// hostCommands: the box builds nothing and runs no virtual machines.
func hostCommands(*environment) []*cobra.Command { return nil }

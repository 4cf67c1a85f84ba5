//go:build box

package main

import (
	"context"
	"net"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/entroos/entroos/router/daemon"
)

// hostCommands: the box builds nothing and runs no virtual machines.
func hostCommands(*environment) []*cobra.Command { return nil }

// hostMzCommands: the box has no other compressors.
func hostMzCommands(*environment) []*cobra.Command { return nil }

// A box administers itself alone: no SSH to others.
type links struct{}

func boxFlags(*environment, *cobra.Command) {}

func (env *environment) sshDialer() (func(context.Context) (net.Conn, error), error) { return nil, nil }

// mainOf is the main of another program that this one is under that name: alone,
// routerd would take 3 MB of the image, of which all but 100 kB are here too.
func mainOf(name string) func(args []string) int {
	if filepath.Base(name) == "routerd" {
		return daemon.Main
	}
	return nil
}

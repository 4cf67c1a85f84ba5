//go:build box

package main

import (
	"context"
	"net"

	"github.com/spf13/cobra"
)

// hostCommands: the box builds nothing and runs no virtual machines.
func hostCommands(*environment) []*cobra.Command { return nil }

// A box administers itself alone: no SSH to others.
type links struct{}

func boxFlags(*environment, *cobra.Command) {}

func (env *environment) sshDialer() (func(context.Context) (net.Conn, error), error) { return nil, nil }

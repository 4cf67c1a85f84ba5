// Command routerd decides which node starts a workload, and when: it serves
// RouterService on a unix socket. On a box it is a part of /bin/entroos, under
// this name: most of the program would be the same.
package main

import (
	"os"

	"github.com/entroos/entroos/router/daemon"
)

func main() { os.Exit(daemon.Main(os.Args[1:])) }

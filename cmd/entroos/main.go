// Entroos is the operator's command: it builds EntroOS, runs it in QEMU and
// administers boxes. On the box it is also the console, with the same commands.
//
// Exit status: the container's for an attached run and for exec (125 when
// EntroOS itself failed, 128 plus the signal's number for a signal), 1 for an
// error, 2 for a wrong command line.
package main

import (
	"context"
	"os"
)

func main() {
	if other := mainOf(os.Args[0]); other != nil {
		os.Exit(other(os.Args[1:]))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	env := newEnvironment()
	env.interrupts.listen()
	os.Exit(env.execute(ctx, os.Args[1:]))
}

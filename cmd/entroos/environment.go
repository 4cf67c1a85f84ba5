package main

import (
	"context"
	"io"
	"os"

	"golang.org/x/term"
)

// defaultAdmin is the admin API's address on the box itself.
const defaultAdmin = "unix:" + adminSocket

// environment is what a command has around it: its standard files, its
// terminal, the signals, and the box's address. The console and the tests give
// commands another one than the process's own.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// terminal is the standard input when that is a terminal, else nil.
	terminal *os.File
	// columns is the width of the standard output's terminal; 0 is not one.
	columns    func() int
	interrupts *interrupts
	// admin is the default of --admin.
	admin string
	// host is --box: the box is reached over SSH, with the key in the file
	// identity if one is given. The connections live from one command of a
	// console to the next.
	host, identity string
	links          *links
	// noProgress: `mz` shows none.
	noProgress bool
	// console is set within `entroos console`.
	console bool
}

// newEnvironment is that of the process.
func newEnvironment() *environment {
	env := &environment{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		interrupts: &interrupts{}, admin: defaultAdmin, links: &links{},
		columns: func() int { return columnsOf(os.Stdout) },
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		env.terminal = os.Stdin
	}
	return env
}

// columnsOf is the width of a terminal, 80 when it does not say; 0 when the
// file is none.
func columnsOf(f *os.File) int {
	columns, _, err := term.GetSize(int(f.Fd()))
	switch {
	case err != nil:
		return 0
	case columns == 0: // a serial line
		return defaultColumns
	}
	return columns
}

// execute runs one command line and returns its exit status. A signal cancels
// the command, unless the command takes signals itself.
func (env *environment) execute(ctx context.Context, args []string) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signal, restore := env.interrupts.cancels(cancel)
	defer restore()
	root := newRoot(env)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return env.report(err, signal())
}

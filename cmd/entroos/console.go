package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/kballard/go-shellquote"
	"github.com/peterh/liner"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

const prompt = "entroos> "

func newConsoleCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "console",
		Short: "Give these commands one after the other",
		Long: "Give these commands one after the other, with line editing, history and completion.\n" +
			"With --json-lines it serves a program: requests and answers are JSON, one object a line.",
		Args:    cobra.NoArgs,
		GroupID: groupBox,
	}
	lines := c.Flags().Bool("json-lines", false, "serve a program on standard input and output")
	login := c.Flags().Bool("login", false, "be the console on a terminal of the box itself")
	if err := c.Flags().MarkHidden("login"); err != nil {
		panic(err) // it has just been made
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *lines {
			return serveLines(c.Context(), env, os.Stdin, os.Stdout)
		}
		return newConsole(env, *login).run(c.Context())
	}
	return c
}

// newExitCommand is in the tree for help and completion; the console sees to
// it itself.
func newExitCommand() *cobra.Command {
	return &cobra.Command{
		Use: "exit", Aliases: []string{"logout", "quit"}, Short: "Leave the console", GroupID: groupBox,
		Args: cobra.NoArgs, Run: func(*cobra.Command, []string) {},
	}
}

// console reads command lines and runs them, each on a tree of its own.
type console struct {
	env    *environment
	output *lineTracker
	editor *liner.State
	// cooked is the terminal's mode for commands, raw the one for editing.
	cooked, raw liner.ModeApplier
	// box is set on a box's own terminal: leaving the console then only starts it
	// anew, and it may ask for a password.
	box      bool
	failures int // wrong passwords in a row
	// who may use the box from where, as it was told at the login.
	who *entroosv1.WatchAccessResponse
	// command is held while a command runs.
	command sync.Mutex
}

func newConsole(env *environment, login bool) *console {
	own := *env
	own.console = true
	output := &lineTracker{w: env.stdout, fresh: true}
	own.stdout, own.stderr = output, output.beside(env.stderr)
	return &console{env: &own, output: output, box: login}
}

// run serves the console until its user leaves or its terminal is gone.
func (c *console) run(ctx context.Context) error {
	if err := c.openTerminal(); err != nil {
		return err
	}
	defer c.editor.Close()
	defer c.endOnSignal()()
	// Between commands an interrupt has nothing to cancel.
	defer c.env.interrupts.handle(func(os.Signal) {})()
	if err := c.begin(ctx); err != nil {
		return err
	}
	for {
		line, err := c.editor.Prompt(prompt)
		switch {
		case errors.Is(err, liner.ErrPromptAborted): // Ctrl-C
			continue
		case err != nil && c.env.terminal != nil && hungUp(c.env.terminal):
			return nil
		case errors.Is(err, io.EOF): // Ctrl-D, or the end of a file
			if c.env.terminal == nil {
				return nil
			}
			fmt.Fprintln(c.env.stdout)
			if gone, err := c.leave(ctx); gone || err != nil {
				return err
			}
			continue
		case err != nil:
			return fmt.Errorf("reading the console: %w", err)
		}
		if c.runLine(ctx, line) {
			if gone, err := c.leave(ctx); gone || err != nil {
				return err
			}
		}
	}
}

// openTerminal prepares terminal and editor.
func (c *console) openTerminal() error {
	if c.env.terminal != nil {
		if err := makeSane(c.env.terminal); err != nil {
			return err
		}
	}
	if os.Getenv("TERM") == "" {
		// What every terminal emulator and the kernel's own console understand.
		if err := os.Setenv("TERM", "vt220"); err != nil {
			return err
		}
	}
	var err error
	if c.cooked, err = liner.TerminalMode(); err != nil && c.env.terminal != nil {
		return fmt.Errorf("the console's terminal: %w", err)
	}
	c.editor = liner.NewLiner()
	if c.env.terminal != nil {
		// The editor does so only after it has printed the prompt.
		if err := keysOnly(c.env.terminal); err != nil {
			return err
		}
	}
	if c.raw, err = liner.TerminalMode(); err != nil && c.env.terminal != nil {
		return fmt.Errorf("the console's terminal: %w", err)
	}
	c.editor.SetCtrlCAborts(true)
	c.editor.SetTabCompletionStyle(liner.TabPrints)
	c.editor.SetWordCompleter(c.complete)
	return nil
}

// endOnSignal ends the process on SIGTERM and SIGHUP, once the command that
// runs has ended: they cancel it.
func (c *console) endOnSignal() (stop func()) {
	signals := make(chan os.Signal, 2)
	stopped := make(chan struct{})
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		select {
		case s := <-signals:
			c.command.Lock()
			c.editor.Close()
			os.Exit(exitSignal + int(s.(syscall.Signal)))
		case <-stopped:
		}
	}()
	return func() { signal.Stop(signals); close(stopped) }
}

// begin begins a session: the password, if there is one, and the banner.
func (c *console) begin(ctx context.Context) error {
	if c.box && c.env.terminal != nil {
		if err := c.login(ctx); err != nil {
			return err
		}
	}
	c.greet(ctx)
	return nil
}

// leave ends the session: on a box the next one begins at once.
func (c *console) leave(ctx context.Context) (gone bool, err error) {
	if !c.box {
		return true, nil
	}
	c.editor.ClearHistory()
	return false, c.begin(ctx)
}

// runLine runs one line; it returns true when the user wants to leave.
func (c *console) runLine(ctx context.Context, line string) (leave bool) {
	words, err := shellquote.Split(line)
	if err != nil {
		c.editor.AppendHistory(line)
		fmt.Fprintf(c.env.stderr, "entroos: %v\n", err)
		return false
	}
	if len(words) > 0 && words[0] == "entroos" { // as one would type it elsewhere
		words = words[1:]
	}
	if len(words) == 0 {
		return false
	}
	switch words[0] {
	case "exit", "logout", "quit":
		return true
	}
	c.editor.AppendHistory(line)
	c.command.Lock()
	defer c.command.Unlock()
	defer c.cook()()
	env := *c.env
	status := env.execute(ctx, words)
	c.output.freshLine()
	if status == exitSignal+int(syscall.SIGINT) && c.env.terminal != nil {
		// What was typed before Ctrl-C is not for the prompt.
		if err := dropInput(c.env.terminal); err != nil && !hungUp(c.env.terminal) {
			fmt.Fprintf(c.env.stderr, "entroos: the console's terminal: %v\n", err)
		}
	}
	return false
}

// cook sets the terminal for a command, until uncook sets it for editing.
func (c *console) cook() (uncook func()) {
	if c.env.terminal == nil {
		return func() {}
	}
	apply := func(mode liner.ModeApplier) {
		if err := mode.ApplyMode(); err != nil && !hungUp(c.env.terminal) {
			fmt.Fprintf(c.env.stderr, "entroos: the console's terminal: %v\n", err)
		}
	}
	apply(c.cooked)
	return func() { apply(c.raw) }
}

// lineTracker is a writer that knows whether the cursor is at the beginning of
// a line: the prompt must not overwrite output without a last newline.
type lineTracker struct {
	w io.Writer

	mu    sync.Mutex
	fresh bool
}

func (l *lineTracker) Write(p []byte) (int, error) { return l.write(l.w, p) }

func (l *lineTracker) write(w io.Writer, p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := w.Write(p)
	if n > 0 {
		l.fresh = p[n-1] == '\n'
	}
	return n, err
}

// beside is another writer to the same terminal.
func (l *lineTracker) beside(w io.Writer) io.Writer { return besideWriter{l, w} }

type besideWriter struct {
	tracker *lineTracker
	w       io.Writer
}

func (b besideWriter) Write(p []byte) (int, error) { return b.tracker.write(b.w, p) }

// freshLine begins a new line unless the cursor is at the beginning of one.
func (l *lineTracker) freshLine() {
	l.mu.Lock()
	fresh := l.fresh
	l.mu.Unlock()
	if !fresh {
		fmt.Fprintln(l)
	}
}

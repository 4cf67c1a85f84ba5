package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/peterh/liner"
	"golang.org/x/crypto/bcrypt"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// How a wrong password slows the next attempt: the first costs loginDelay, each
// more twice as much, up to loginMaxDelay.
const (
	loginDelay    = time.Second
	loginMaxDelay = 30 * time.Second
)

// loginPatience is how long a box that is starting is waited for without a word.
const loginPatience = 20 * time.Second

// errLeftLogin: whoever was asked for the password has gone.
var errLeftLogin = errors.New("nobody is at the terminal any more")

// login asks for the console's password, if the box has one, until it is given.
// A box that does not tell whether it has one lets nobody in.
func (c *console) login(ctx context.Context) error {
	access, err := c.access(ctx)
	if err != nil || access.ConsolePassword == "" {
		return err
	}
	// Ctrl-C is no way past the password.
	defer c.env.interrupts.handle(func(os.Signal) {})()
	fmt.Fprintf(c.env.stdout, "\nEntroOS on %s\n\n", access.Hostname)
	for {
		password, err := c.askPassword()
		switch {
		case errors.Is(err, liner.ErrPromptAborted), err == nil && password == "":
			continue
		case err != nil && hungUp(c.env.terminal):
			return errLeftLogin
		case errors.Is(err, io.EOF):
			fmt.Fprintln(c.env.stdout)
			continue
		case err != nil:
			return fmt.Errorf("reading the password: %w", err)
		}
		// It may have been changed since.
		if access, err = c.access(ctx); err != nil {
			return err
		}
		if access.ConsolePassword == "" || bcrypt.CompareHashAndPassword([]byte(access.ConsolePassword), []byte(password)) == nil {
			c.failures = 0
			return nil
		}
		if err := c.slowDown(ctx); err != nil {
			return err
		}
	}
}

// askPassword asks once. What PID 1 prints meanwhile wipes the prompt away, and
// says so by a change of the window.
func (c *console) askPassword() (string, error) {
	const prompt = "Password: "
	redraw := make(chan os.Signal, 1)
	signal.Notify(redraw, syscall.SIGWINCH)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-redraw:
				fmt.Fprint(c.env.stdout, "\r"+prompt)
			case <-done:
				return
			}
		}
	}()
	defer close(done)
	defer signal.Stop(redraw)
	return c.editor.PasswordPrompt(prompt)
}

// slowDown notes a wrong password in the kernel's log, and waits.
func (c *console) slowDown(ctx context.Context) error {
	delay := min(loginMaxDelay, loginDelay<<min(c.failures, 10))
	c.failures++
	fmt.Fprintf(c.env.stdout, "Wrong password.\n")
	noteWrongPassword(c.env.terminal, c.failures)
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := dropInput(c.env.terminal); err != nil && hungUp(c.env.terminal) {
		return errLeftLogin
	}
	return nil
}

// noteWrongPassword writes to the kernel's log, which PID 1 keeps.
func noteWrongPassword(terminal *os.File, failures int) {
	const authWarning = 4<<3 | 4 // facility and level of syslog(2)
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return // no box, or no log: there is nowhere to say so
	}
	defer f.Close()
	name, err := filepath.EvalSymlinks(fmt.Sprintf("/proc/self/fd/%d", terminal.Fd()))
	if err != nil {
		name = "a console"
	}
	_, _ = fmt.Fprintf(f, "<%d>entroos: wrong password on %s, %d in a row\n", authWarning, name, failures)
}

// access asks the box who may use the console, for as long as it takes to start.
func (c *console) access(ctx context.Context) (*entroosv1.WatchAccessResponse, error) {
	started := time.Now()
	told := false
	for {
		access, err := c.env.access(ctx)
		if err == nil {
			c.who = access
		}
		if err == nil || ctx.Err() != nil {
			return access, errors.Join(err, ctx.Err())
		}
		if !told && time.Since(started) > loginPatience {
			told = true
			fmt.Fprintf(c.env.stdout, "\nEntroOS is starting, or its admin API does not answer: %s\n", message(err))
		}
		if hungUp(c.env.terminal) {
			return nil, errLeftLogin
		}
		select {
		case <-time.After(bannerInterval):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// access asks the box for a short time only.
func (env *environment) access(ctx context.Context) (*entroosv1.WatchAccessResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, bannerAsk)
	defer cancel()
	var access *entroosv1.WatchAccessResponse
	err := env.withBox(ctx, func(ctx context.Context, b *box) error {
		stream, err := b.WatchAccess(ctx, connect.NewRequest(&entroosv1.WatchAccessRequest{}))
		if err != nil {
			return err
		}
		defer stream.Close()
		if !stream.Receive() {
			return errors.Join(stream.Err(), errNoAnswer)
		}
		access = stream.Msg()
		return nil
	})
	return access, err
}

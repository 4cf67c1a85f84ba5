package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"connectrpc.com/connect"
)

// Exit statuses beside 0 and a container's own.
const (
	exitError = 1
	exitUsage = 2
	// exitOwn is EntroOS's failure where other statuses are the container's.
	exitOwn = 125
	// exitSignal is added to a signal's number.
	exitSignal = 128
)

// statusError ends a command with an exit status. Err, if not nil, is told.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

// usageError is a wrong command line.
func usageError(err error) error {
	var status *statusError
	if err == nil || errors.As(err, &status) {
		return err
	}
	return &statusError{exitUsage, err}
}

// ownError is a failure of EntroOS in a command whose status is otherwise the
// container's.
func ownError(err error) error {
	var status *statusError
	if err == nil || errors.As(err, &status) && status.status != exitUsage {
		return err
	}
	return &statusError{exitOwn, err}
}

// report tells an error on the standard error and returns the exit status.
// The signal, if not nil, is the one that cancelled the command.
func (env *environment) report(err error, by os.Signal) int {
	if err == nil {
		return 0
	}
	if by != nil && cancelled(err) {
		if s, ok := by.(syscall.Signal); ok {
			return exitSignal + int(s)
		}
		return exitError
	}
	code := exitError
	var status *statusError
	if errors.As(err, &status) {
		code = status.status
		if status.err == nil {
			return code
		}
	}
	var connection *net.OpError // a box that hangs up is told of
	if errors.Is(err, syscall.EPIPE) && !errors.As(err, &connection) {
		return code // whoever read our output has seen enough
	}
	fmt.Fprintf(env.stderr, "entroos: %s\n", message(err))
	return code
}

func cancelled(err error) bool {
	return errors.Is(err, context.Canceled) || connect.CodeOf(err) == connect.CodeCanceled
}

// message is an error's text without Connect's word for its code.
func message(err error) string {
	if cancelled(err) {
		return "cancelled"
	}
	var remote *connect.Error
	if !errors.As(err, &remote) {
		return err.Error()
	}
	text := remote.Message()
	// Keep what was wrapped around the Connect error.
	if whole, inner := err.Error(), remote.Error(); len(whole) > len(inner) && whole[len(whole)-len(inner):] == inner {
		return whole[:len(whole)-len(inner)] + text
	}
	return text
}

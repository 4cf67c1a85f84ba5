package nko

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Go runs f in a goroutine of its own. A panic in f is logged with its stack
// under the given name and ends that goroutine alone. It is the only way in
// which packages of PID 1 start goroutines.
func Go(name string, f func()) { go Guard(name, f)() }

// Guard gives an f whose panic is logged under the given name and ends f alone,
// for what is called in a goroutine that others start (context.AfterFunc).
func Guard(name string, f func()) func() {
	return func() {
		defer func() {
			if r := recover(); r != nil {
				LogPanic(name, r)
			}
		}()
		f()
	}
}

// Protect calls f in the calling goroutine and turns a panic into an error.
func Protect(name string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			LogPanic(name, r)
			err = fmt.Errorf("%s: panic: %v", name, r)
		}
	}()
	return f()
}

// LogPanic logs a recovered panic value with the stack of the calling
// goroutine.
func LogPanic(name string, value any) {
	slog.Error("panic", "in", name, "value", fmt.Sprint(value), "stack", string(debug.Stack()))
}

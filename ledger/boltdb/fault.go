package boltdb

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
)

// catchFault turns a panic while the calling function runs into an error: an
// ErrDamaged for a fault on a mapped page, and for a panic of bbolt over what
// it found there.
func catchFault(path string, err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			*err = failure(path, p)
		}
	}
}

// failure makes an error of a recovered panic. It logs the stack of one that is
// a fault of this program. It is called by the deferred function.
func failure(path string, p any) error {
	cause, ok := p.(error)
	if !ok {
		cause = fmt.Errorf("%v", p)
	}
	// The runtime gives an address to no dereference of nil.
	var fault interface {
		error
		Addr() uintptr
	}
	if errors.As(cause, &fault) || inBbolt() {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, cause)
	}
	slog.Error("panic", "in", "boltdb", "path", path, "value", fmt.Sprint(p), "stack", string(debug.Stack()))
	return fmt.Errorf("boltdb: %s: panic in a transaction: %w", path, cause)
}

// inBbolt says whether the panic now recovered was raised by bbolt, and not by
// a function that it called back.
func inBbolt() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for panicked := false; ; {
		frame, more := frames.Next()
		panicked = panicked || frame.Function == "runtime.gopanic"
		// The standard library's paths have no dot in their first part.
		if module, _, ok := strings.Cut(frame.Function, "/"); panicked && ok && strings.Contains(module, ".") {
			return strings.HasPrefix(frame.Function, "go.etcd.io/bbolt")
		}
		if !more {
			return false
		}
	}
}

package main

import (
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"
)

// TestBrokenPipe: a reader that has seen enough is no failure to tell of, a box
// that hangs up is one.
func TestBrokenPipe(t *testing.T) {
	var told buffer
	env := &environment{stderr: &told}
	if code := env.report(&fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}, nil); code != exitError || told.b.Len() > 0 {
		t.Errorf("a closed output: status %d, told %q", code, told.b.String())
	}
	hung := &net.OpError{Op: "write", Net: "vsock", Err: syscall.EPIPE}
	if code := env.report(hung, nil); code != exitError || !strings.Contains(told.b.String(), "broken pipe") {
		t.Errorf("a closed connection: status %d, told %q", code, told.b.String())
	}
}

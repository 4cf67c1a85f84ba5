//go:build !guest

package runtime

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/entroos/entroos/morphzip/store"
)

// startOutput copies from a pipe, whose writing end it gives.
func startOutput(t *testing.T, client io.Writer) (*output, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log := openLogs(t, t.TempDir()).Appender("container/test")
	var a *attachment
	if client != nil {
		a = newAttachment(client)
		go a.run()
	}
	o := newOutput(r, store.Stdout, log, a)
	go o.run()
	t.Cleanup(func() {
		<-o.done
		if err := errors.Join(o.logErr, o.readErr, log.Close()); err != nil {
			t.Error(err)
		}
		r.Close()
	})
	return o, w
}

func TestOutputIsWhole(t *testing.T) {
	var client bytes.Buffer
	o, w := startOutput(t, &client)
	text := strings.Repeat("0123456789", 100_000)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if !drain([]*output{o}, time.Minute) {
		t.Error("it did not end by itself")
	}
	if client.String() != text || o.sum() != sha256.Sum256([]byte(text)) {
		t.Errorf("the client has %d bytes", client.Len())
	}
}

// stuck is a client that takes nothing until it is released.
type stuck struct{ release chan struct{} }

func (s stuck) Write([]byte) (int, error) {
	<-s.release
	return 0, io.ErrClosedPipe
}

func TestStuckClientIsDropped(t *testing.T) {
	client := stuck{make(chan struct{})}
	defer close(client.release)
	o, w := startOutput(t, client)
	text := strings.Repeat("x", 4<<20)
	written := make(chan error, 1)
	go func() {
		_, err := io.WriteString(w, text)
		written <- errors.Join(err, w.Close())
	}()
	if !drain([]*output{o}, 200*time.Millisecond) {
		t.Error("output was lost with the client")
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if o.sum() != sha256.Sum256([]byte(text)) {
		t.Error("the digest is not the output's")
	}
}

func TestStreamHeldOpenIsGivenUp(t *testing.T) {
	var client bytes.Buffer
	o, w := startOutput(t, &client)
	defer w.Close()
	if _, err := io.WriteString(w, "all there is"); err != nil {
		t.Fatal(err)
	}
	if drain([]*output{o}, 100*time.Millisecond) {
		t.Error("it is said to have ended")
	}
	if client.String() != "all there is" || o.sum() != sha256.Sum256([]byte("all there is")) {
		t.Errorf("the client has %q", client.String())
	}
}

func TestUnexpectedInputError(t *testing.T) {
	odd := errors.New("the client's computer is on fire")
	for _, c := range []struct{ err, want error }{
		{nil, nil},
		{&os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}, nil},
		{errors.Join(syscall.EIO, os.ErrClosed), nil},
		{odd, odd},
		{errors.Join(odd, os.ErrClosed), odd},
	} {
		if got := unexpectedInputError(c.err); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("of %v is left %v", c.err, got)
		}
	}
}

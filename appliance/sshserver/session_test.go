package sshserver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestOutputWaitsForItsReader: a program ends long before its output was
// taken; nothing of it is lost.
func TestOutputWaitsForItsReader(t *testing.T) {
	// More than a client's window of 2 MiB, and no more than the pipe holds beyond.
	const size = 2<<20 + 48<<10
	s := serve(t)
	session := s.session(s.connect())
	stdout, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	wrote := filepath.Join(t.TempDir(), "wrote")
	if err := session.Start(fmt.Sprintf("sh -c 'head -c %d /dev/zero; touch %s'", size, wrote)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the program has written all", func() bool { _, err := os.Stat(wrote); return err == nil })
	ended := make(chan error, 1)
	go func() { ended <- session.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("ended before its output was taken: %v", err)
	case <-time.After(sessionGrace + 500*time.Millisecond):
	}
	if n, err := io.Copy(io.Discard, stdout); err != nil || n != size {
		t.Errorf("%d bytes of %d arrived: %v", n, size, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestHangUpIsNotHeldUp: a client that leaves without taking the output, and
// something out of reach that keeps the output open, hold nothing up.
func TestHangUpIsNotHeldUp(t *testing.T) {
	for name, line := range map[string]string{
		"an output that is not taken": "cat /dev/zero",
		"a child of its own session":  "sh -c 'setsid sleep 1000 & echo $!'",
	} {
		s := serve(t)
		client := s.connect()
		session := s.session(client)
		stdout, err := session.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Start(line); err != nil {
			t.Fatal(err)
		}
		var child int
		if line != "cat /dev/zero" {
			if _, err := fmt.Fscan(stdout, &child); err != nil {
				t.Fatal(err)
			}
		}
		client.Close()
		stopped := make(chan struct{})
		go func() { s.stop(); close(stopped) }()
		select {
		case <-stopped:
		case <-time.After(20 * time.Second):
			t.Errorf("%s: the server does not end", name)
		}
		if child != 0 {
			if err := syscall.Kill(child, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				t.Error(err)
			}
			<-stopped
		}
	}
}

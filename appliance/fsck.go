package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/nko"
)

// fsckTimeout bounds the check at boot: a large partition with a lost journal
// takes minutes.
const fsckTimeout = 30 * time.Minute

// fsckGrace is how long e2fsck may take to end when it is told to.
const fsckGrace = 10 * time.Second

// Exit statuses of e2fsck(8) are bits: up to here the file system is well.
const (
	fsckMended = 1 | 2 // errors corrected; "reboot", which is for a mounted root
	fsckDamage = 4     // errors left uncorrected
)

// e2fsck runs e2fsck with that mode (-p, -y) on a device and gives its exit
// status. It is ended when ctx ends.
func e2fsck(ctx context.Context, reaper *nko.Reaper, out io.Writer, device string, mode ...string) (int, error) {
	const program = "/bin/e2fsck"
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%s is missing from this system", program)
	}
	cmd := exec.Command(program, append(mode, device)...)
	cmd.Stdout, cmd.Stderr = out, out
	child, err := reaper.Spawn(cmd)
	if err != nil {
		return 0, err
	}
	select {
	case <-child.Done():
	case <-ctx.Done():
		// It ends what it is at. It may have ended just now.
		_ = child.Signal(unix.SIGTERM)
		select {
		case <-child.Done():
		case <-time.After(fsckGrace):
			_ = child.Signal(unix.SIGKILL)
			<-child.Done()
		}
		return 0, ctx.Err()
	}
	if child.Err() != nil {
		return 0, child.Err()
	}
	code := child.State().ExitCode()
	if code < 0 {
		return 0, fmt.Errorf("its check was ended: %s", child.State())
	}
	return code, nil
}

// checkExt4 mends what can be mended without a question.
func checkExt4(ctx context.Context, reaper *nko.Reaper, device string) error {
	ctx, cancel := context.WithTimeout(ctx, fsckTimeout)
	defer cancel()
	var out bytes.Buffer
	code, err := e2fsck(ctx, reaper, &out, device, "-p")
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("its check did not end within %v", fsckTimeout)
	}
	if err == nil && code > fsckMended {
		err = fmt.Errorf("its check failed (exit status %d): %s", code, complaint(out.String()))
	}
	if code&fsckDamage != 0 {
		err = outside(err)
	}
	return err
}

// complaint is the line of e2fsck's output that says what is wrong.
func complaint(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range lines {
		for _, word := range []string{"UNEXPECTED", "Bad magic", "invalid", "error"} {
			if strings.Contains(line, word) {
				return strings.TrimSpace(line)
			}
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}

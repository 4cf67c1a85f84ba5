//go:build vm

package qemu_test

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/qemu"
)

// endDeadline bounds an end that nobody asked for, up to the reset.
const endDeadline = 2 * time.Minute

type previousBoot struct{ End, Text string }

func (b *box) previousBoot() previousBoot {
	b.Helper()
	var s struct {
		PreviousBoot previousBoot `json:"previous_boot"`
	}
	b.get(&s, "status")
	return s.PreviousBoot
}

// checkPrevious fails the test unless the last boot ended so, with every one of
// texts in what is known of it.
func (b *box) checkPrevious(end string, texts ...string) {
	b.Helper()
	p := b.previousBoot()
	if p.End != end {
		b.Errorf("the last boot ended by %q, want %q: %s", p.End, end, p.Text)
	}
	for _, text := range texts {
		if !strings.Contains(p.Text, text) {
			b.Errorf("what is told of the last boot lacks %q: %s", text, p.Text)
		}
	}
}

// awaitReady waits until a box that starts by itself is ready, and returns what
// it says beside that.
func (b *box) awaitReady() string {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), endDeadline+bootDeadline)
	defer cancel()
	found, err := b.vm.Expect(ctx, regexp.MustCompile(`entroos: ready in [0-9.]+s([^\r\n]*)[\r\n]`))
	if err != nil {
		b.Fatal(err)
	}
	return found[1]
}

// TestUntimelyEnds ends a box in every way in which nobody asked for it; the
// next boot tells which it was.
func TestUntimelyEnds(t *testing.T) {
	t.Parallel()
	faults := filepath.Join(t.TempDir(), "faults")
	b := boot(t, func(c *qemu.Config) {
		c.SMBIOS = []string{"entroos.faults=1"}
		c.ExtraArgs = []string{
			"-device", "i6300esb", "-action", "watchdog=reset",
			"-chardev", "socket,id=faults,server=on,wait=off,path=" + faults,
			"-device", "virtserialport,bus=serial.0,chardev=faults,name=org.entroos.faults.0",
		}
	})
	b.checkPrevious("unknown")

	// The kernel panics at a key of the keyboard.
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	err := b.vm.QMP(ctx, "human-monitor-command", map[string]string{"command-line": "sendkey alt-sysrq-c"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if said := b.awaitReady(); !strings.Contains(said, "kernel panic") {
		t.Errorf("the box says that it is ready, and %q", said)
	}
	b.checkPrevious("panic", "sysrq triggered crash\n", "Call Trace")

	order := b.fault(faults, "fatal")
	if said := b.awaitReady(); !strings.Contains(said, "death of PID 1") {
		t.Errorf("the box says that it is ready, and %q", said)
	}
	b.checkPrevious("init", "fatal error: sync: unlock of unlocked mutex\n", "appliance.(*Box).fault")

	if err := order.Close(); err != nil {
		t.Fatal(err)
	}
	stalled := time.Now()
	order = b.fault(faults, "stall")
	defer order.Close()
	if said := b.awaitReady(); !strings.Contains(said, "watchdog") {
		t.Errorf("the box says that it is ready, and %q", said)
	}
	t.Logf("back %v after the supervisor had stalled", time.Since(stalled).Round(time.Second))
	b.checkPrevious("watchdog", "the supervisor does not answer")
	if p := b.previousBoot(); strings.Contains(p.Text, "Kernel panic") {
		t.Errorf("the kernel's own watchdog was first: %s", p.Text)
	}
	b.checkReady("/dev/vda4")
}

// fault orders a fault of the box. The port has to stay open until the box has
// read of it.
func (b *box) fault(socket, word string) io.Closer {
	b.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Write([]byte(word + "\n")); err != nil {
		b.Fatal(err)
	}
	return c
}

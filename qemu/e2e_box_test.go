//go:build vm

package qemu_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/entroos/entroos/qemu"
)

// The tests of this package boot the image that `make image` built, and run
// the OCI images that `make fixtures` made. They only read both.

// Time that a thing may take at most, on a slow machine under emulation.
const (
	bootDeadline    = 3 * time.Minute
	commandDeadline = 2 * time.Minute
	pollInterval    = 200 * time.Millisecond
)

// diskSize is that of a box's disk in bytes; the first boot grows the image's
// data partition to it.
const diskSize = 4 << 30

var readyLine = regexp.MustCompile(`entroos: ready in ([0-9.]+)s`)

// built is the path of something that make built, below build/.
func built(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "build", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make image fixtures` first", err)
	}
	return path
}

// targetOption gives the box a CPU target. The tests' boxes have none, 1: their
// containers run at full speed. With an empty one the settings' holds.
const targetOption = "entroos.resources.target="

// box is a booted EntroOS and the test that it serves.
type box struct {
	testing.TB
	vm *qemu.VM
}

// newBox prepares a machine with the built image as its first disk; change,
// if not nil, alters the machine before it is made.
func newBox(t testing.TB, change func(*qemu.Config)) *box {
	t.Helper()
	cfg := qemu.Config{Disks: []qemu.Disk{{Image: built(t, "entroos.img")}}}
	if change != nil {
		change(&cfg)
	}
	if !slices.ContainsFunc(cfg.SMBIOS, func(s string) bool { return strings.HasPrefix(s, targetOption) }) {
		cfg.SMBIOS = append(cfg.SMBIOS, targetOption+"1")
	}
	for i, d := range cfg.Disks {
		if d.Image == built(t, "entroos.img") && d.Size == 0 {
			cfg.Disks[i].Size = diskSize // the image's has no room for containers' images
		}
	}
	vm, err := qemu.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := &box{TB: t, vm: vm}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("serial console:\n%s", vm.Transcript())
		}
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// boot makes a machine and waits until it is ready.
func boot(t testing.TB, change func(*qemu.Config)) *box {
	t.Helper()
	b := newBox(t, change)
	b.powerOn()
	return b
}

// powerOn starts the machine and waits until it says that it is ready. It
// returns the seconds that the box says it took.
func (b *box) powerOn() string {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	if err := b.vm.Start(ctx); err != nil {
		b.Fatal(err)
	}
	found, err := b.vm.Expect(ctx, readyLine)
	if err != nil {
		b.Fatal(err)
	}
	return found[1]
}

// try runs a command on the box.
func (b *box) try(args ...string) (stdout, stderr string, exit int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	out, errOut, exit, err := b.vm.Command(ctx, args...)
	if err != nil {
		b.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return string(out), string(errOut), exit
}

// run runs a command on the box that has to succeed.
func (b *box) run(args ...string) string {
	b.Helper()
	stdout, stderr, exit := b.try(args...)
	if exit != 0 {
		b.Fatalf("%s: exit %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), exit, stdout, stderr)
	}
	return stdout
}

// get decodes the JSON that a command prints.
func (b *box) get(into any, args ...string) {
	b.Helper()
	out := b.run(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		b.Fatalf("%s --json: %v in %s", strings.Join(args, " "), err, out)
	}
}

// until polls a condition; what says what is waited for.
func (b *box) until(what string, condition func() (bool, string)) {
	b.Helper()
	deadline := time.Now().Add(commandDeadline)
	for {
		met, seen := condition()
		if met {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("waited %v for %s; last seen: %s", commandDeadline, what, seen)
		}
		time.Sleep(pollInterval)
	}
}

// importFixture has the box fetch an image from this process, over its network.
func (b *box) importFixture(name string) {
	b.Helper()
	b.until("an address", func() (bool, string) {
		var status struct{ Addresses []string }
		b.get(&status, "status")
		return len(status.Addresses) > 0, fmt.Sprint(status.Addresses)
	})
	b.run("import", fixtureURL(b, name))
}

// fixtureServer serves build/fixtures on a port of 127.0.0.1, which guests
// reach as 10.0.2.2; it ends with the test process.
var fixtureServer = sync.OnceValues(func() (string, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	folder := http.FileServer(http.Dir(filepath.Join("..", "build", "fixtures")))
	go func() { panic(http.Serve(listener, folder)) }()
	return fmt.Sprintf("http://10.0.2.2:%d", listener.Addr().(*net.TCPAddr).Port), nil
})

func fixtureURL(t testing.TB, name string) string {
	t.Helper()
	built(t, filepath.Join("fixtures", name))
	base, err := fixtureServer()
	if err != nil {
		t.Fatal(err)
	}
	return base + "/" + name
}

// receipt is a line of `ledger ls --json`, as far as the tests look at it.
type receipt struct {
	Sequence  uint64 `json:"sequence"`
	Proof     string `json:"p"`
	Outcome   string `json:"outcome"`
	ExitCode  int    `json:"exit_code"`
	Signal    int    `json:"signal"`
	OOMKilled bool   `json:"oom_killed"`
	Stdout    string `json:"stdout_digest"`
	Height    int64  `json:"height"`
	Index     uint64 `json:"index"`
}

// receipts are the committed ones, newest first, once at least n are.
func (b *box) receipts(n int) []receipt {
	b.Helper()
	var all []receipt
	b.until(fmt.Sprintf("%d committed receipts", n), func() (bool, string) {
		stdout, stderr, exit := b.try("ledger", "ls", "--json", "-n", "1000")
		if exit != 0 {
			return false, stderr // ledgerd may be on its way back
		}
		all = nil
		decoder := json.NewDecoder(bytes.NewBufferString(stdout))
		if err := decoder.Decode(&all); err != nil {
			b.Fatalf("ledger ls --json: %v in %s", err, stdout)
		}
		return len(all) >= n, stdout
	})
	return all
}

// checkUnbroken fails the test unless the receipts are numbered n..1 without
// gap or repetition.
func (b *box) checkUnbroken(receipts []receipt) {
	b.Helper()
	for i, r := range receipts {
		if want := uint64(len(receipts) - i); r.Sequence != want {
			b.Errorf("receipt %d of %d has sequence number %d, want %d", i, len(receipts), r.Sequence, want)
		}
	}
}

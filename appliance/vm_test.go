//go:build vm

package appliance_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/entroos/entroos/appliance"
	"github.com/entroos/entroos/qemu"
)

// Time that a boot may take, and a command, on a slow machine under emulation.
const (
	bootDeadline    = 3 * time.Minute
	commandDeadline = 2 * time.Minute
)

// machine is a box on a disk whose bytes the test can reach.
type machine struct {
	*testing.T
	vm   *qemu.VM
	disk string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	image, err := filepath.Abs("../build/entroos.img")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(image); err != nil {
		t.Fatalf("%v: run `make image` first", err)
	}
	m := &machine{T: t, disk: filepath.Join(t.TempDir(), "disk")}
	m.vm, err = qemu.New(qemu.Config{Disks: []qemu.Disk{{Image: image, File: m.disk, Raw: true}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("serial console:\n%s", m.vm.Transcript())
		}
		if err := m.vm.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// powerOn starts the machine and waits for the box's word on its health.
func (m *machine) powerOn(want string) {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), bootDeadline)
	defer cancel()
	if err := m.vm.Start(ctx); err != nil {
		m.Fatal(err)
	}
	found, err := m.vm.Expect(ctx, regexp.MustCompile(`entroos: (ready|degraded)`))
	if err != nil {
		m.Fatal(err)
	}
	if found[1] != want {
		m.Fatalf("the box is %s, want %s", found[1], want)
	}
}

func (m *machine) run(args ...string) string {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), commandDeadline)
	defer cancel()
	out, stderr, exit, err := m.vm.Command(ctx, args...)
	if err != nil || exit != 0 {
		m.Fatalf("%s: exit %d, %s, %v", strings.Join(args, " "), exit, stderr, err)
	}
	return string(out)
}

// problems gives what status says is wrong, in one text.
func (m *machine) problems() string {
	m.Helper()
	var s struct {
		State    string
		Problems []string
	}
	if err := json.Unmarshal([]byte(m.run("status", "--json")), &s); err != nil {
		m.Fatal(err)
	}
	if (s.State == "degraded") != (len(s.Problems) > 0) {
		m.Errorf("state %q with the problems %q", s.State, s.Problems)
	}
	return strings.Join(s.Problems, "\n")
}

// powerOff presses the power button and waits until the machine is off.
func (m *machine) powerOff() {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), time.Minute)
	defer cancel()
	if err := m.vm.Shutdown(ctx); err != nil {
		m.Fatal(err)
	}
	if err := m.vm.Wait(ctx); err != nil {
		m.Fatal(err)
	}
}

// data gives the data partition's place on the disk, in bytes.
func (m *machine) data() (start, size int64) {
	m.Helper()
	f, err := os.Open(m.disk)
	if err != nil {
		m.Fatal(err)
	}
	defer f.Close()
	table, err := gpt.Read(file.New(f, true), 512, 512)
	if err != nil {
		m.Fatal(err)
	}
	for _, p := range table.Partitions {
		if p.Index == appliance.PartitionData {
			return p.GetStart(), p.GetSize()
		}
	}
	m.Fatal("no data partition")
	return 0, 0
}

func (m *machine) dataDigest() [32]byte {
	m.Helper()
	start, size := m.data()
	f, err := os.Open(m.disk)
	if err != nil {
		m.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, start, size)); err != nil {
		m.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}

// TestPowerButton: the box ends in order, with a clean data file system.
func TestPowerButton(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.powerOn("ready")
	if p := m.problems(); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.powerOff()
	start, _ := m.data()
	out, err := exec.Command("dumpe2fs", "-h", fmt.Sprintf("%s?offset=%d", m.disk, start)).CombinedOutput()
	if err != nil {
		t.Fatalf("dumpe2fs: %v: %s", err, out)
	}
	if !regexp.MustCompile(`Filesystem state:\s+clean\n`).Match(out) || bytes.Contains(out, []byte("needs_recovery")) {
		t.Errorf("not unmounted in order: %s", out)
	}
}

// TestDataThatCannotBeMounted: the box comes up, says what is wrong, and leaves
// the partition as it is.
func TestDataThatCannotBeMounted(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	start, _ := m.data()
	f, err := os.OpenFile(m.disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The superblock, and what stands where its copies would be.
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, 64<<20), start); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	before := m.dataDigest()
	m.powerOn("degraded")
	if p := m.problems(); !strings.Contains(p, "/dev/vda4 is not mounted and left as it is") {
		t.Errorf("problems: %s", p)
	}
	m.run("services", "--json") // the API is there
	m.powerOff()
	if m.dataDigest() != before {
		t.Error("the damaged partition was written to")
	}
}

// TestRecordsThatCannotBeOpened: the box comes up without its records, and
// leaves their file as it is.
func TestRecordsThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.powerOn("ready")
	m.powerOff()
	start, _ := m.data()
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("no records "), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	partition := fmt.Sprintf("%s?offset=%d", m.disk, start)
	// An image's layer and a container's log, as far as a box without records
	// could tell: left over.
	for _, command := range []string{
		"rm entroos.db", "write " + garbage + " entroos.db", "mkdir images", "mkdir images/layers", "mkdir images/layers/sha256-1",
		"mkdir logs", "mkdir logs/web",
	} {
		if out, err := exec.Command("debugfs", "-w", "-R", command, partition).CombinedOutput(); err != nil {
			t.Fatalf("debugfs: %v: %s", err, out)
		}
	}
	m.powerOn("degraded")
	if p := m.problems(); !strings.Contains(p, "open /perm/entroos.db") {
		t.Errorf("problems: %s", p)
	}
	m.powerOff()
	out, err := exec.Command("debugfs", "-R", "cat entroos.db", partition).Output()
	if err != nil || !bytes.Equal(out, bytes.Repeat([]byte("no records "), 10_000)) {
		t.Errorf("the file was changed: %d bytes, %v", len(out), err)
	}
	for folder, want := range map[string]string{"images/layers": "/sha256-1/", "logs": "/web/"} {
		out, err := exec.Command("debugfs", "-R", "ls -p "+folder, partition).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s lost its content (%v): %s", folder, err, out)
		}
	}
}

//go:build vm

package qemu_test

import (
	"bytes"
	"context"
	"debug/pe"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/entroos/entroos/qemu"
)

// Where the image's EFI system partition is, in MiB.
const espMiB, espSizeMiB = 1, 256

// uki is a copy of the built UKI of which tests change single bytes.
type uki struct {
	testing.TB
	data []byte
}

func readUKI(t testing.TB) *uki {
	t.Helper()
	data, err := os.ReadFile(built(t, "entroos-"+builtVersion(t)+".efi"))
	if err != nil {
		t.Fatal(err)
	}
	return &uki{t, data}
}

func builtVersion(t testing.TB) string {
	t.Helper()
	version, err := os.ReadFile("../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(version))
}

// section gives a section's bytes, to be changed in place.
func (u *uki) section(name string) []byte {
	u.Helper()
	f, err := pe.NewFile(bytes.NewReader(u.data))
	if err != nil {
		u.Fatal(err)
	}
	s := f.Section(name)
	if s == nil {
		u.Fatalf("the UKI has no section %s", name)
	}
	return u.data[s.Offset : s.Offset+min(s.Size, s.VirtualSize)]
}

// change replaces text in a section; what is shorter is filled up with blanks.
func (u *uki) change(section, from, to string) {
	u.Helper()
	s := u.section(section)
	i := bytes.Index(s, []byte(from))
	if i < 0 || len(to) > len(from) {
		u.Fatalf("%s of the UKI: %q cannot become %q", section, from, to)
	}
	copy(s[i:], to+strings.Repeat(" ", len(from)-len(to)))
}

// breakRoot makes the root file system one that cannot be mounted, so that
// stage0 exits.
func (u *uki) breakRoot() {
	u.Helper()
	initrd := u.section(".initrd")
	// A superblock: the magic number, 24 bytes of numbers, version 4.0.
	found := regexp.MustCompile(`(?s)hsqs.{24}\x04\x00\x00\x00`).FindIndex(initrd)
	if found == nil {
		u.Fatal("no squashfs in the UKI's initramfs")
	}
	clear(initrd[found[0]:found[1]])
}

// newer makes the UKI the next version; it gives that.
func (u *uki) newer() string {
	u.Helper()
	version := builtVersion(u)
	last := len(version) - 1
	if version[last] == '9' {
		u.Fatalf("no version of the same length is newer than %s", version)
	}
	newer := version[:last] + string(version[last]+1)
	u.change(".osrel", "VERSION_ID="+version, "VERSION_ID="+newer)
	return newer
}

// diskWithUpdate makes a disk with the built image and beside its UKI another
// one of that name.
func diskWithUpdate(t testing.TB, u *uki, name string) qemu.Disk {
	t.Helper()
	dir := t.TempDir()
	d := qemu.Disk{File: filepath.Join(dir, "disk.img"), Raw: true}
	host(t, "cp", "--sparse=always", "--no-preserve=mode", built(t, "entroos.img"), d.File)
	info, err := os.Stat(d.File)
	if err != nil {
		t.Fatal(err)
	}
	d.Size = info.Size()
	file := filepath.Join(dir, "update.efi")
	if err := os.WriteFile(file, u.data, 0o600); err != nil {
		t.Fatal(err)
	}
	host(t, "mcopy", "-i", fmt.Sprintf("%s@@%dM", d.File, espMiB), file, "::EFI/Linux/"+name)
	return d
}

// host runs a program of the host.
func host(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ukis are the names in EFI/Linux of a disk, sorted.
func ukis(t testing.TB, disk string) []string {
	t.Helper()
	var names []string
	for line := range strings.Lines(host(t, "mdir", "-b", "-i", fmt.Sprintf("%s@@%dM", disk, espMiB), "::EFI/Linux")) {
		names = append(names, filepath.Base(strings.TrimSpace(line)))
	}
	slices.Sort(names)
	return names
}

// checkESP has fsck.vfat look at the disk's EFI system partition.
func checkESP(t testing.TB, disk string) {
	t.Helper()
	checkFAT(t, disk, espMiB, espSizeMiB)
}

func checkFAT(t testing.TB, disk string, offsetMiB, sizeMiB int) {
	t.Helper()
	part := filepath.Join(t.TempDir(), "fat")
	host(t, "dd", "if="+disk, "of="+part, "bs=1M", fmt.Sprintf("skip=%d", offsetMiB), fmt.Sprintf("count=%d", sizeMiB), "conv=sparse", "status=none")
	if out, err := exec.Command("fsck.vfat", "-n", part).CombinedOutput(); err != nil {
		t.Errorf("fsck.vfat of the partition at %d MiB: %v\n%s", offsetMiB, err, out)
	}
	if err := os.Remove(part); err != nil {
		t.Error(err)
	}
}

func (b *box) bootEntry() (name string, blessed bool) {
	b.Helper()
	var s struct {
		BootEntry string `json:"boot_entry"`
		Blessed   bool
	}
	b.get(&s, "status")
	return s.BootEntry, s.Blessed
}

// TestBlessedWithoutNetwork boots an update on a box without a network card: it
// loses its counter, and the UKI before it is as it was.
func TestBlessedWithoutNetwork(t *testing.T) {
	t.Parallel()
	u := readUKI(t)
	version := u.newer()
	disk := diskWithUpdate(t, u, "entroos_"+version+"+3.efi")
	b := boot(t, func(c *qemu.Config) {
		c.Disks = []qemu.Disk{disk}
		c.Network.None = true
	})
	if s := b.status(); s.State != "ready" {
		t.Errorf("state is %q, problems %q", s.State, s.Problems)
	}
	want := "entroos_" + version + ".efi"
	b.until("the blessing of "+want, func() (bool, string) {
		name, blessed := b.bootEntry()
		return name == want && blessed, name
	})
	b.powerOff()
	if got := ukis(t, disk.File); !slices.Equal(got, []string{"entroos_" + builtVersion(t) + ".efi", want}) {
		t.Errorf("the UKIs are %q", got)
	}
	checkESP(t, disk.File)
}

// TestBadUpdateIsLeft boots an update whose init exits: after three tries the
// box is back in the system before it.
func TestBadUpdateIsLeft(t *testing.T) {
	t.Parallel()
	u := readUKI(t)
	version := u.newer()
	// stage0 finds no root file system, and exits.
	u.breakRoot()
	u.change(".cmdline", "panic=10", "panic=1")
	disk := diskWithUpdate(t, u, "entroos_"+version+"+3.efi")
	b := newBox(t, func(c *qemu.Config) { c.Disks = []qemu.Disk{disk} })
	ctx, cancel := context.WithTimeout(context.Background(), 2*bootDeadline)
	defer cancel()
	if err := b.vm.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.vm.Expect(ctx, readyLine); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b.vm.Transcript()), "not syncing: Attempted to kill init"); n != 3 {
		t.Errorf("init died %d times, want 3", n)
	}
	name, blessed := b.bootEntry()
	if want := "entroos_" + builtVersion(t) + ".efi"; name != want || !blessed {
		t.Errorf("the box runs %q, blessed %v, want %s, blessed", name, blessed, want)
	}
	if s := b.status(); s.State != "ready" {
		t.Errorf("state is %q, problems %q", s.State, s.Problems)
	}
	b.powerOff()
	if got := ukis(t, disk.File); !slices.Contains(got, "entroos_"+version+"+0-3.efi") {
		t.Errorf("the UKIs are %q", got)
	}
	checkESP(t, disk.File)
}

// TestIllUpdateGoesBack boots an update that comes up degraded, with one try
// left: the box goes back by itself.
func TestIllUpdateGoesBack(t *testing.T) {
	t.Parallel()
	u := readUKI(t)
	version := u.newer()
	u.change(".cmdline", "softdog.soft_margin=120", "cgroup_disable=memory")
	disk := diskWithUpdate(t, u, "entroos_"+version+"+1-2.efi")
	b := newBox(t, func(c *qemu.Config) { c.Disks = []qemu.Disk{disk} })
	ctx, cancel := context.WithTimeout(context.Background(), 2*bootDeadline)
	defer cancel()
	if err := b.vm.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`entroos: degraded`, `entroos: entroos_\S+\+0-3\.efi is on trial and has not become healthy`, readyLine.String()} {
		if _, err := b.vm.Expect(ctx, regexp.MustCompile(line)); err != nil {
			t.Fatal(err)
		}
	}
	name, blessed := b.bootEntry()
	if want := "entroos_" + builtVersion(t) + ".efi"; name != want || !blessed {
		t.Errorf("the box runs %q, blessed %v, want %s, blessed", name, blessed, want)
	}
}

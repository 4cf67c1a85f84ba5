//go:build vm

package qemu_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/entroos/entroos/qemu"
)

// settingsOffset is where the settings partition begins on the disk image.
const settingsOffset = 257 << 20

// writeSettings puts the box's own appliance.yaml on a disk's settings
// partition, as a desktop would.
func writeSettings(t testing.TB, disk, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "appliance.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mcopy", "-o", "-i", fmt.Sprintf("%s@@%d", disk, settingsOffset), file, "::appliance.yaml").CombinedOutput()
	if err != nil {
		t.Fatalf("mcopy: %v: %s", err, out)
	}
}

// copyDisk copies the built image to a file of its own.
func copyDisk(t testing.TB) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "own.img")
	if out, err := exec.Command("cp", "--sparse=always", built(t, "entroos.img"), disk).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	return disk
}

// TestSettings boots a box with settings of its own, changes them, breaks
// them, and mends them.
func TestSettings(t *testing.T) {
	t.Parallel()
	disk := copyDisk(t)
	// A file from Windows, with a byte order mark and CRLF.
	writeSettings(t, disk, "\xef\xbb\xbfhostname: cupboard\r\n"+
		"network:\r\n"+
		"  interfaces:\r\n"+
		"    eth0: {addresses: [10.0.2.15/24], gateway: 10.0.2.2}\r\n"+
		"  dns: [10.0.2.3]\r\n"+
		"time:\r\n"+
		"  servers: [10.0.2.2]\r\n"+
		"workloads:\r\n"+
		"  - name: sleeper\r\n"+
		"    image: busybox\r\n"+
		"    args: [sleep, \"1000000\"]\r\n")
	b := newBox(t, func(c *qemu.Config) { c.Disks = []qemu.Disk{{Image: built(t, "entroos.img"), File: disk, Raw: true}} })
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	if err := b.vm.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.vm.Expect(ctx, regexp.MustCompile(`entroos: ready`)); err != nil {
		t.Fatal(err)
	}
	fmt.Println(b.run("status"))
	fmt.Println(b.run("services"))
}

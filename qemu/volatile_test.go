package qemu_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/entroos/entroos/qemu"
)

// TestVolatileDisk writes through QEMU's own block layer, and ends it as a power
// cut does: what was flushed is there, of the rest a part.
func TestVolatileDisk(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	dir := t.TempDir()
	path := filepath.Join(dir, "disk")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := qemu.NewVolatileDisk(path, dir)
	if err != nil {
		t.Fatal(err)
	}
	// io runs qemu-io's commands, then kills it.
	io := func(commands ...string) string {
		t.Helper()
		args := []string{"-f", "raw", "-t", "writeback", disk.Address()}
		for _, c := range append(commands, "sigraise 9") {
			args = append(args, "-c", c)
		}
		out, err := exec.Command("qemu-io", args...).CombinedOutput()
		if err == nil || !strings.Contains(err.Error(), "killed") || bytes.Contains(out, []byte("rror")) {
			t.Fatalf("qemu-io: %v: %s", err, out)
		}
		return string(out)
	}
	random := rand.New(rand.NewPCG(1, 1))
	// All of 64 KiB of ones is flushed. Then twos are written over the first
	// half, threes with FUA beside.
	io("write -P 1 0 64k", "flush", "write -P 2 0 32k", "read -P 2 0 32k", "read -P 1 32k 32k")
	unflushed, lost, err := disk.PowerCut(random, 0)
	if err != nil || unflushed != 64 || lost != 64 {
		t.Fatalf("%d sectors unflushed, %d lost, %v, want 64 of 64", unflushed, lost, err)
	}
	io("read -P 1 0 64k", "write -P 2 0 32k", "write -f -P 3 128k 4k", "write -P 4 256k 32k", "read -P 4 256k 32k")
	if unflushed, lost, err = disk.PowerCut(random, 0.5); err != nil || unflushed != 64 || lost < 16 || lost > 48 {
		t.Fatalf("%d sectors unflushed, %d lost, %v, want about half of 64", unflushed, lost, err)
	}
	io("read -P 2 0 32k", "read -P 1 32k 32k", "read -P 3 128k 4k")
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	count := map[byte]int{}
	for at := 256 << 10; at < 288<<10; at += 512 {
		if s := got[at : at+512]; bytes.Count(s, s[:1]) != 512 || s[0] != 0 && s[0] != 4 {
			t.Fatalf("the sector at %d is neither old nor new", at)
		}
		count[got[at]]++
	}
	if count[0] != lost || count[4] != unflushed-lost {
		t.Errorf("of %d sectors that were not flushed %d are new, with %d lost", unflushed, count[4], lost)
	}
}

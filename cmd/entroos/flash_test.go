//go:build !box

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/appliance/blockdev"
)

const mib = 1 << 20

// tool runs one of the field's tools, which has to succeed.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if path, err := exec.LookPath(filepath.Join("/sbin", name)); err == nil {
		name = path
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// testImage makes a disk image of EntroOS's layout, as `image build` does, with
// one file on its ESP.
func testImage(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "entroos.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(530 * mib); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	const guid = "E4705050-0000-4000-8000-00000000000"
	tool(t, "sgdisk", "--clear", "--disk-guid="+guid+"0", "--set-alignment=1",
		"-n1:2048:526335", "-t1:ef00", "-u1:"+guid+"1", "-n2:526336:559103", "-t2:0700", "-u2:"+guid+"2",
		"-n4:559104:1083391", "-t4:8300", "-u4:"+guid+"4", "-c4:EntroOS data", path)
	for _, v := range []struct{ bits, name, offset, kib string }{{"32", "ESP", "2048", "262144"}, {"16", "ENTROOS", "526336", "16384"}} {
		tool(t, "mkfs.vfat", "-F", v.bits, "-s", "4", "-n", v.name, "-h", v.offset, "--offset", v.offset, path, v.kib)
	}
	loader := filepath.Join(t.TempDir(), "loader")
	if err := os.WriteFile(loader, bytes.Repeat([]byte("loader"), 99999), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "mcopy", "-i", path+"@@1M", loader, "::LOADER")
	tool(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", "size=64", "-O", "metadata_csum_seed",
		"-U", strings.ToLower(guid)+"e", "-E", fmt.Sprintf("offset=%d,resize=%d", 273*mib, int64(8<<40)/4096), path, "65536")
	return path
}

// loopDisk is a disk of that size on a loop device, where this machine has them.
func loopDisk(t *testing.T, size int64) (device, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	// What an old disk holds must not show through.
	if _, err := io.CopyN(f, noise{}, 2*mib); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, mib), size-mib); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		t.Skipf("this machine gives no loop devices: %v: %s", err, out)
	}
	device = strings.TrimSpace(string(out))
	t.Cleanup(func() { tool(t, "losetup", "--detach", device) })
	return device, file
}

type noise struct{}

func (noise) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0x5a
	}
	return len(p), nil
}

// flash runs `entroos flash`.
func flash(args ...string) (string, error) {
	var out, errOut bytes.Buffer
	env := &environment{
		stdin: strings.NewReader(""), stdout: &out, stderr: &errOut, interrupts: &interrupts{},
		columns: func() int { return 0 }, admin: defaultAdmin,
	}
	root := newRoot(env)
	root.SetArgs(append([]string{"flash"}, args...))
	err := root.Execute()
	return out.String() + errOut.String(), err
}

func TestFlash(t *testing.T) {
	image := testImage(t)
	compressed := image + ".zst"
	compress(t, image, compressed)
	settings := filepath.Join(t.TempDir(), "own.yaml")
	text := "hostname: flashed\n"
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, from := range []string{image, compressed} {
		device, file := loopDisk(t, 900*mib)
		out, err := flash(device, "--yes", "--image", from, "--config", settings)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []string{"writing the EFI system partition", "reading back the data partition", "verified"} {
			if !strings.Contains(out, step) {
				t.Errorf("it does not say %q: %s", step, out)
			}
		}
		if verdict := tool(t, "sgdisk", "-v", file); !strings.Contains(verdict, "No problems found") {
			t.Errorf("sgdisk: %s", verdict)
		}
		tool(t, "e2fsck", "-fn", fmt.Sprintf("%s?offset=%d", file, 273*mib))
		if got := tool(t, "mtype", "-i", file+"@@257M", "::appliance.yaml"); got != text {
			t.Errorf("the settings are %q", got)
		}
		tool(t, "mcopy", "-n", "-i", file+"@@1M", "::LOADER", filepath.Join(t.TempDir(), "LOADER"))
		for _, id := range identities(t, file) {
			if seen[id] || strings.HasPrefix(id, "e4705050") {
				t.Errorf("the identity %s is not this disk's own", id)
			}
			seen[id] = true
		}
	}
}

func compress(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	w, err := zstd.NewWriter(out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, in); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// identities are all UUIDs and volume ids of a disk; those of the ext4 from both
// its superblock and the copy, which must be one.
func identities(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := blockdev.Size(f)
	if err != nil {
		t.Fatal(err)
	}
	table, err := blockdev.ReadTable(f, size, 512)
	if err != nil || !table.Complete() {
		t.Fatalf("partition table: %v, complete: %v", err, table.Complete())
	}
	ids := []string{table.DiskGUID.String()}
	for _, p := range table.Partitions {
		ids = append(ids, p.GUID.String())
	}
	at := func(offset int64, n int) []byte {
		b := make([]byte, n)
		if _, err := f.ReadAt(b, offset); err != nil {
			t.Fatal(err)
		}
		return b
	}
	const data = 273 * mib
	first, err := blockdev.Ext4UUID(at(data+blockdev.Ext4SuperblockOffset, blockdev.Ext4SuperblockSize))
	if err != nil {
		t.Fatal(err)
	}
	if second, err := blockdev.Ext4UUID(at(data+128*mib, blockdev.Ext4SuperblockSize)); err != nil || second != first {
		t.Errorf("the copy of the superblock has UUID %v (%v), the superblock %v", second, err, first)
	}
	for _, offset := range []int64{mib + 67, mib + 6*512 + 67, 257*mib + 39} {
		ids = append(ids, fmt.Sprintf("%x-%d", binary.LittleEndian.Uint32(at(offset, 4)), offset))
	}
	return append(ids, first.String())
}

func TestFlashRefuses(t *testing.T) {
	image := testImage(t)
	small, smallFile := loopDisk(t, 400*mib)
	large, _ := loopDisk(t, 600*mib)
	before := tool(t, "sha256sum", smallFile)
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("hostname: box\nhostnam: twice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cut := image + ".cut.zst"
	compress(t, image, cut)
	if err := os.Truncate(cut, 5000); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(t.TempDir(), "short.img")
	tool(t, "dd", "if="+image, "of="+short, "bs=1M", "count=300", "status=none")
	other := filepath.Join(t.TempDir(), "other.img")
	if err := os.WriteFile(other, make([]byte, 2*mib), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"too small", []string{small, "--yes", "--image", image}},
		{"but a file", []string{smallFile, "--yes", "--image", image}},
		{"it is no disk", []string{"/dev/null", "--yes", "--image", image}},
		{"no such file", []string{"/dev/nothing-here", "--yes"}},
		{"--yes", []string{large, "--image", image}},
		{"2:1", []string{small, "--yes", "--image", image, "--config", bad}},
		{"not whole or damaged", []string{small, "--yes", "--image", cut}},
		{"not whole", []string{small, "--yes", "--image", short}},
		{"this is not EntroOS", []string{small, "--yes", "--image", other}},
	} {
		out, err := flash(c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("flash %s: %v, want an error with %q\n%s", strings.Join(c.args, " "), err, c.want, out)
		}
	}
	if after := tool(t, "sha256sum", smallFile); after != before {
		t.Error("a refused flash changed the disk")
	}
	// A disk in use.
	tool(t, "mke2fs", "-q", "-F", small)
	mounted := t.TempDir()
	if err := unix.Mount(small, mounted, "ext4", 0, ""); err != nil {
		t.Skipf("this machine mounts nothing: %v", err)
	}
	defer func() {
		if err := unix.Unmount(mounted, 0); err != nil {
			t.Error(err)
		}
	}()
	if _, err := flash(small, "--yes", "--image", image); err == nil || !strings.Contains(err.Error(), "is mounted at "+mounted) {
		t.Errorf("a mounted disk: %v", err)
	}
	if _, err := blockdev.OpenExclusive(small); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opening a mounted disk: %v", err)
	}
}

func TestFlashRefusesBuiltInDisks(t *testing.T) {
	disk := blockdev.Facts{Path: "/dev/sda", Model: "Rock Solid", Bytes: 1 << 40}
	if err := new(flashFlags).refuse(disk); err == nil || !strings.Contains(err.Error(), "--force") || !strings.Contains(err.Error(), "Rock Solid") {
		t.Errorf("%v", err)
	}
	if err := (&flashFlags{force: true}).refuse(disk); err != nil {
		t.Error(err)
	}
	disk.Users = []string{"sda1 is mounted at /"}
	if err := (&flashFlags{force: true}).refuse(disk); err == nil || !strings.Contains(err.Error(), "mounted at /") {
		t.Errorf("%v", err)
	}
	stick := blockdev.Facts{Path: "/dev/sdb", Removable: true, Bytes: 1 << 33, ReadOnly: true}
	if err := new(flashFlags).refuse(stick); err == nil || !strings.Contains(err.Error(), "write-protected") {
		t.Errorf("%v", err)
	}
}

package fat_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/appliance/bootslot"
	"github.com/entroos/entroos/appliance/fat"
)

// kind is a file system as a box has them, smaller.
type kind struct {
	name    string
	mkfs    []string
	kib     int64
	cluster int
}

var kinds = []kind{
	{"FAT32", []string{"-F", "32", "-s", "1", "-n", "ESP"}, 33 * 1024, 512},
	{"FAT32 of larger clusters", []string{"-F", "32", "-s", "4", "-n", "ESP"}, 140 * 1024, 2048},
	{"FAT16", []string{"-F", "16", "-s", "4", "-n", "ENTROOS"}, 16 * 1024, 2048},
}

// image is a file system in a file of the host, changed with mtools and looked at
// with fsck.vfat.
type image struct {
	t    testing.TB
	path string
}

// TestMain makes the properties' checks fewer: each runs programs of the host.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "12"); err != nil { // before the command line's is parsed
		panic(err)
	}
	m.Run()
}

func needTools(t testing.TB) {
	t.Helper()
	for _, tool := range []string{"mkfs.vfat", "fsck.vfat", "mcopy", "mren"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v: install dosfstools and mtools", err)
		}
	}
}

func newImage(t testing.TB, k kind) *image {
	t.Helper()
	needTools(t)
	i := &image{t, filepath.Join(t.TempDir(), "fat.img")}
	i.tool("mkfs.vfat", append(append([]string{"-C"}, k.mkfs...), i.path, fmt.Sprint(k.kib))...)
	return i
}

func (i *image) tool(name string, args ...string) string {
	i.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		i.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// m runs one of mtools on the image.
func (i *image) m(name string, args ...string) string {
	i.t.Helper()
	return i.tool(name, append([]string{"-i", i.path}, args...)...)
}

func (i *image) write(name string, content []byte) {
	i.t.Helper()
	file := filepath.Join(i.t.TempDir(), "file")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		i.t.Fatal(err)
	}
	i.m("mcopy", "-o", file, "::"+name)
}

func (i *image) bytes() []byte {
	i.t.Helper()
	b, err := os.ReadFile(i.path)
	if err != nil {
		i.t.Fatal(err)
	}
	return b
}

func (i *image) set(b []byte) {
	i.t.Helper()
	if err := os.WriteFile(i.path, b, 0o600); err != nil {
		i.t.Fatal(err)
	}
}

// fsck gives what fsck.vfat says; clean is its verdict.
func (i *image) fsck() (string, bool) {
	i.t.Helper()
	out, err := exec.Command("fsck.vfat", "-n", i.path).CombinedOutput()
	return string(out), err == nil
}

// mend mends the image.
func (i *image) mend(rules fat.Rules) fat.Report {
	i.t.Helper()
	f, err := os.OpenFile(i.path, os.O_RDWR, 0)
	if err != nil {
		i.t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		i.t.Fatal(err)
	}
	report, err := fat.Mend(f, info.Size(), rules)
	if err != nil {
		i.t.Fatalf("%v; %v", err, report)
	}
	return report
}

// check checks the image as it is.
func (i *image) check(rules fat.Rules) fat.Report {
	i.t.Helper()
	b := i.bytes()
	report, err := fat.Check(bytes.NewReader(b), int64(len(b)), rules)
	if err != nil {
		i.t.Fatal(err)
	}
	return report
}

// verify fails the test unless fsck.vfat and Check find nothing.
func (i *image) verify(rules fat.Rules) {
	i.t.Helper()
	if out, clean := i.fsck(); !clean {
		i.t.Fatalf("fsck.vfat: %s", out)
	}
	if r := i.check(rules); !r.Clean() {
		i.t.Fatalf("not clean: %+v", r)
	}
}

// populate makes what stands on an ESP.
func (i *image) populate(cluster int) map[string][]byte {
	i.t.Helper()
	i.m("mmd", "::EFI", "::EFI/BOOT", "::EFI/Linux", "::loader", "::entroos")
	random := rand.New(rand.NewPCG(1, 2))
	files := map[string][]byte{
		"EFI/BOOT/BOOTX64.EFI":                                  content(random, 9*cluster+1),
		"loader/loader.conf":                                    []byte("timeout 0\n"),
		"EFI/Linux/entroos_0.1.0.efi":                           content(random, 100*cluster),
		"EFI/Linux/entroos_0.2.0-a.rather.long.version+2-1.efi": content(random, 3*cluster-1),
		"entroos/empty":                                         nil,
	}
	for name, c := range files {
		i.write(name, c)
	}
	return files
}

func content(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// holds fails the test unless the file is as it was.
func (i *image) holds(name string, want []byte) {
	i.t.Helper()
	if got := i.m("mtype", "::"+name); got != string(want) {
		i.t.Fatalf("%s holds %d bytes other than its %d", name, len(got), len(want))
	}
}

func TestCleanIsLeftAlone(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			i := newImage(t, k)
			if r := i.check(fat.Rules{}); !r.Clean() {
				t.Errorf("fresh: %+v", r)
			}
			i.populate(k.cluster)
			before := i.bytes()
			if r := i.mend(fat.Rules{}); !r.Clean() {
				t.Errorf("populated: %+v", r)
			}
			if !bytes.Equal(before, i.bytes()) {
				t.Error("a clean file system was written")
			}
			i.verify(fat.Rules{})
		})
	}
}

// operations are what a box, or its owner, does on these partitions.
var operations = []struct {
	name string
	do   func(i *image, r *rapid.T, random *rand.Rand, k kind)
}{
	{"copy", func(i *image, r *rapid.T, random *rand.Rand, k kind) {
		size := rapid.IntRange(0, 200*k.cluster).Draw(r, "size")
		i.write(rapid.SampledFrom([]string{"entroos/uki.partial", "EFI/Linux/entroos_0.3.0+3.efi", "APPLIANC.YAM", "a long name, for a file.txt"}).Draw(r, "name"), content(random, size))
	}},
	{"rename", func(i *image, r *rapid.T, _ *rand.Rand, _ kind) {
		i.m("mren", "::EFI/Linux/entroos_0.2.0-a.rather.long.version+2-1.efi", "::EFI/Linux/entroos_0.2.0-a.rather.long.version.efi")
	}},
	{"move", func(i *image, r *rapid.T, random *rand.Rand, k kind) {
		i.write("entroos/uki.partial", content(random, 5*k.cluster))
		i.m("mmove", "::entroos/uki.partial", "::EFI/Linux")
	}},
	{"delete", func(i *image, _ *rapid.T, _ *rand.Rand, _ kind) {
		i.m("mdel", "::EFI/Linux/entroos_0.2.0-a.rather.long.version+2-1.efi")
	}},
	{"folder", func(i *image, _ *rapid.T, _ *rand.Rand, _ kind) {
		i.m("mmd", "::entroos/deeper", "::entroos/deeper/still deeper")
	}},
	{"many files", func(i *image, _ *rapid.T, random *rand.Rand, _ kind) {
		dir := i.t.TempDir()
		args := []string{"-o"}
		for n := range 40 { // the folder grows
			file := filepath.Join(dir, fmt.Sprintf("a file with a long name %d", n))
			if err := os.WriteFile(file, content(random, n*100), 0o600); err != nil {
				i.t.Fatal(err)
			}
			args = append(args, file)
		}
		i.m("mcopy", append(args, "::entroos")...)
	}},
}

// TestMendAfterCut: of the sectors that operations change, any part reaches the
// disk. Mended, the file system is clean, says fsck.vfat, and what was there
// before and was not touched is whole.
func TestMendAfterCut(t *testing.T) {
	for _, k := range kinds {
		if k.cluster == 2048 && k.mkfs[1] == "32" {
			continue // large and slow: the shapes are the same
		}
		t.Run(k.name, func(t *testing.T) {
			base := newImage(t, k)
			files := base.populate(k.cluster)
			before := base.bytes()
			rapid.Check(t, func(r *rapid.T) {
				i := &image{t, base.path}
				i.set(before)
				random := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 0))
				op := rapid.SampledFrom(operations).Draw(r, "operation")
				op.do(i, r, random, k)
				i.set(cut(before, i.bytes(), random, rapid.Float64Range(0, 1).Draw(r, "survive")))
				rules := fat.Rules{Precious: bootslot.Precious, Later: bootslot.Later}
				report := i.mend(rules)
				if report.Left > 0 {
					r.Fatalf("left: %+v", report)
				}
				if out, clean := i.fsck(); !clean {
					r.Fatalf("%s, mended (%+v): fsck.vfat: %s", op.name, report, out)
				}
				if again := i.check(rules); !again.Clean() {
					r.Fatalf("%s: mending left %+v", op.name, again)
				}
				for name, want := range files {
					if !strings.Contains(name, "long.version") { // the one that operations touch
						i.holds(name, want)
					}
				}
			})
		})
	}
}

// cut gives before with a random part of the sectors that after changes; the
// dirty flag stands, as Linux sets it first.
func cut(before, after []byte, random *rand.Rand, survive float64) []byte {
	disk := bytes.Clone(before)
	for at := 0; at < len(disk); at += 512 {
		if random.Float64() < survive {
			copy(disk[at:at+512], after[at:at+512])
		}
	}
	return disk
}

// TestMendCutOff: mending is itself cut off anywhere, and the next one ends it.
func TestMendCutOff(t *testing.T) {
	k := kinds[0]
	base := newImage(t, k)
	files := base.populate(k.cluster)
	before := base.bytes()
	rapid.Check(t, func(r *rapid.T) {
		i := &image{t, base.path}
		i.set(before)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 0))
		op := rapid.SampledFrom(operations).Draw(r, "operation")
		op.do(i, r, random, k)
		damaged := cut(before, i.bytes(), random, 0.5)
		i.set(damaged)
		i.mend(fat.Rules{})
		i.set(cut(damaged, i.bytes(), random, rapid.Float64Range(0, 1).Draw(r, "survive")))
		i.mend(fat.Rules{})
		if out, clean := i.fsck(); !clean {
			r.Fatalf("%s: fsck.vfat: %s", op.name, out)
		}
		for name, want := range files {
			if !strings.Contains(name, "long.version") {
				i.holds(name, want)
			}
		}
	})
}

package image

import (
	"bytes"
	"context"
	"debug/pe"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/image/debian"
	"github.com/entroos/entroos/image/firmware"
)

// newTinyBuilder builds an image with one small program and, for a kernel, some
// other UEFI program.
func newTinyBuilder(t *testing.T) Builder {
	t.Helper()
	if err := requireTools(); err != nil {
		t.Skip(err)
	}
	source, err := FindSource(".")
	if err != nil {
		t.Fatal(err)
	}
	return Builder{
		Source:      source,
		Output:      t.TempDir(),
		Version:     "1.2.3",
		Kernel:      bootLoader,
		CommandLine: DefaultCommandLine,
		DataSize:    minDataSize,
		Stage0:      "./image/testdata/hello",
		Userland:    []Program{{Path: "/init", Package: "./image/testdata/hello"}},
		Files:       []File{{Path: "/etc/extra/note", Mode: 0o640, Content: "a note"}},
		Firmware: firmware.Set{
			Files:     map[string][]byte{"/lib/firmware/card/1.fw": []byte("firmware")},
			Microcode: []byte("microcode, a multiple of 4 bytes"),
			Packages:  []debian.Package{{Name: "intel-microcode", Version: "1", Architecture: "all", Source: "s", SourceVersion: "1"}},
		},
	}
}

// same tells whether two files have the same bytes.
func same(t *testing.T, one, two string) bool {
	t.Helper()
	var files [2]*os.File
	for i, path := range []string{one, two} {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		files[i] = file
	}
	var blocks [2][]byte
	for {
		for i, file := range files {
			if blocks[i] == nil {
				blocks[i] = make([]byte, mebibyte)
			}
			n, err := io.ReadFull(file, blocks[i][:mebibyte])
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				t.Fatal(err)
			}
			blocks[i] = blocks[i][:n]
		}
		if !bytes.Equal(blocks[0], blocks[1]) {
			return false
		}
		if len(blocks[0]) == 0 {
			return true
		}
	}
}

func modified(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// Two builds of the same inputs, in other folders, at other times, by users with
// other settings, give the same bytes.
func TestReproducible(t *testing.T) {
	one := newTinyBuilder(t)
	first, err := one.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TZ", "Pacific/Auckland")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	t.Setenv("SOURCE_DATE_EPOCH", "1")
	t.Setenv("GOFLAGS", "-ldflags=-X=main.x=1")
	defer unix.Umask(unix.Umask(0o077))
	two := newTinyBuilder(t)
	second, err := two.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	// Another second, so that a time of the build would have shown.
	if modified(t, first.UKI).Truncate(time.Second).Equal(modified(t, second.UKI).Truncate(time.Second)) {
		t.Log("both builds ended within one second: times were not put to the test")
	}
	if !same(t, first.UKI, second.UKI) {
		t.Error("the UKIs differ")
	}
	if !same(t, first.Disk, second.Disk) {
		t.Error("the disk images differ")
	}
	if !same(t, first.Bill, second.Bill) {
		t.Error("the bills of materials differ")
	}
	if !same(t, first.Sums, second.Sums) {
		t.Error("the hashes differ")
	}
	checkRelease(t, first)
	left, err := filepath.Glob(filepath.Join(two.Output, ".image-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// Debian's boot stub carries a checksum that the linker made.
func TestChecksumPE(t *testing.T) {
	data, err := os.ReadFile(bootStub)
	if err != nil {
		t.Skip(err)
	}
	field := data[binary.LittleEndian.Uint32(data[0x3c:])+24+64:][:4]
	want := binary.LittleEndian.Uint32(field)
	if want == 0 {
		t.Skip("this boot stub has no checksum")
	}
	clear(field)
	if got := checksumPE(data); got != want {
		t.Errorf("the checksum is %#x, want %#x", got, want)
	}
}

func TestUKI(t *testing.T) {
	builder := newTinyBuilder(t)
	builder.Quick = true
	result, err := builder.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(result.UKI) != "entroos-1.2.3.efi" {
		t.Errorf("the UKI is %s", result.UKI)
	}
	file, err := pe.Open(result.UKI)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	end := uint32(0)
	for _, section := range file.Sections {
		if section.VirtualAddress < end {
			t.Errorf("section %s begins at %#x, before the end of the one before it at %#x", section.Name, section.VirtualAddress, end)
		}
		end = section.VirtualAddress + section.VirtualSize
		if section.Name == ".linux" {
			kernelMemory, err := loadedSize(bootLoader)
			if err != nil {
				t.Fatal(err)
			}
			end = section.VirtualAddress + uint32(kernelMemory)
		}
	}
	content := func(name string) []byte {
		section := file.Section(name)
		if section == nil {
			t.Fatalf("no section %s", name)
		}
		data, err := section.Data()
		if err != nil {
			t.Fatal(err)
		}
		return data[:min(len(data), int(section.VirtualSize))]
	}
	if got := string(content(".osrel")); got != osRelease("1.2.3") {
		t.Errorf(".osrel is %q", got)
	}
	if got := string(content(".cmdline")); got != DefaultCommandLine+"\x00" {
		t.Errorf(".cmdline is %q", got)
	}
	kernel, err := os.ReadFile(bootLoader)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content(".linux"), kernel) {
		t.Error(".linux is not the kernel")
	}
	checkInitramfs(t, content(".initrd"))
}

// checkInitramfs looks into both archives of an initramfs, and into the root
// file system in it.
func checkInitramfs(t *testing.T, initramfs []byte) {
	t.Helper()
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	archive := func(data []byte) *cpio.Archive {
		format, err := cpio.Format("newc")
		if err != nil {
			t.Fatal(err)
		}
		records, err := cpio.ArchiveFromReader(format.Reader(bytes.NewReader(data)))
		if err != nil {
			t.Fatal(err)
		}
		return records
	}
	// What the kernel reads first is at the very beginning.
	microcode, ok := archive(initramfs).Get("kernel/x86/microcode/GenuineIntel.bin")
	if !ok {
		t.Fatal("no microcode in the first archive of the initramfs")
	}
	if content, err := io.ReadAll(io.NewSectionReader(microcode, 0, int64(microcode.FileSize))); err != nil ||
		string(content) != "microcode, a multiple of 4 bytes" || !bytes.Contains(initramfs[:1024], content) {
		t.Errorf("the microcode is %q (%v)", content, err)
	}
	next := bytes.Index(initramfs, []byte("TRAILER!!!"))
	initramfs = initramfs[next+bytes.Index(initramfs[next:], []byte("070701")):]
	image, ok := archive(initramfs).Get("root.squashfs")
	if !ok {
		t.Fatal("no root.squashfs in the initramfs")
	}
	squashfs, err := io.ReadAll(io.NewSectionReader(image, 0, int64(image.FileSize)))
	if err != nil {
		t.Fatal(err)
	}
	// The second archive begins after the squashfs, which has such magic too.
	start := bytes.Index(initramfs, squashfs[:4096]) + len(squashfs)
	compressed := initramfs[start+bytes.Index(initramfs[start:], magic):]
	decoder, err := zstd.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	second, err := io.ReadAll(decoder)
	if err != nil {
		t.Fatal(err)
	}
	records := archive(second)
	if console, ok := records.Get("dev/console"); !ok || console.Mode != cpio.S_IFCHR|0o600 || console.Rmajor != 5 || console.Rminor != 1 {
		t.Errorf("dev/console is %v", console)
	}
	if init, ok := records.Get("init"); !ok || init.Mode != cpio.S_IFREG|0o755 {
		t.Errorf("init is %v", init)
	}
	checkRoot(t, squashfs)
}

// checkRoot looks at the root file system's listing.
func checkRoot(t *testing.T, squashfs []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root.squashfs")
	if err := os.WriteFile(path, squashfs, 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command("unsquashfs", "-lln", path).CombinedOutput()
	if err != nil {
		t.Skipf("unsquashfs: %v\n%s", err, output)
	}
	listing := map[string]string{}
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		if len(fields) < 6 || !strings.HasPrefix(fields[5], "squashfs-root") {
			continue
		}
		if fields[1] != "0/0" {
			t.Errorf("not root's: %s", line)
		}
		listing[strings.TrimPrefix(fields[5], "squashfs-root")] = fields[0]
	}
	for name, mode := range map[string]string{
		"/init": "-rwxr-xr-x", "/bin/e2fsck": "-rwxr-xr-x", "/etc/resolv.conf": "lrwxrwxrwx", "/etc/os-release": "-rw-r--r--",
		DataTemplate: "-rw-r--r--", "/lib/firmware/card/1.fw": "-rw-r--r--",
		"/etc/extra": "drwxr-xr-x", "/etc/extra/note": "-rw-r-----",
		"/etc/ssl/certs/ca-certificates.crt": "-rw-r--r--", "/etc/passwd": "-rw-r--r--", "/etc/group": "-rw-r--r--", "/etc/hosts": "-rw-r--r--",
		"/dev": "drwxr-xr-x", "/proc": "dr-xr-xr-x", "/sys": "dr-xr-xr-x", "/run": "drwxr-xr-x", "/tmp": "drwxrwxrwt",
		"/perm": "drwxr-xr-x", "/esp": "drwx------", "/settings": "drwx------", "/root": "drwx------",
	} {
		if listing[name] != mode {
			t.Errorf("%s has the mode %q, want %q", name, listing[name], mode)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Builder)
		want   string
	}{
		"version with a counter":   {func(b *Builder) { b.Version = "1.2.3+3" }, `version "1.2.3+3"`},
		"version as a path":        {func(b *Builder) { b.Version = "../1" }, "version"},
		"no version":               {func(b *Builder) { b.Version = "" }, "version"},
		"small data":               {func(b *Builder) { b.DataSize = 1 << 20 }, "data size"},
		"odd data":                 {func(b *Builder) { b.DataSize = minDataSize + 1 }, "data size"},
		"command line of 2 lines":  {func(b *Builder) { b.CommandLine = "a\nb" }, "command line"},
		"command line beyond 2047": {func(b *Builder) { b.CommandLine = strings.Repeat("a", 2048) }, "command line"},
		"absent kernel":            {func(b *Builder) { b.Kernel = "/nonexistent" }, "the kernel"},
		"kernel without UEFI":      {func(b *Builder) { b.Kernel = "/proc/self/exe" }, "not a kernel with a UEFI stub"},
		"no such program":          {func(b *Builder) { b.Userland[0].Package = "./image/absent" }, "building ./image/absent"},
		"file twice":               {func(b *Builder) { b.Files[0].Path = "/init" }, "/init on the root file system"},
		"relative file":            {func(b *Builder) { b.Files[0].Path = "../init" }, "absolute and clean"},
	} {
		t.Run(name, func(t *testing.T) {
			builder := newTinyBuilder(t)
			test.change(&builder)
			_, err := builder.Build(context.Background())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
			results, globErr := filepath.Glob(filepath.Join(builder.Output, "*entroos*"))
			if globErr != nil || len(results) > 0 {
				t.Errorf("a failed build left %v (%v)", results, globErr)
			}
		})
	}
}

func TestFindSource(t *testing.T) {
	if _, err := FindSource("testdata/hello"); err != nil {
		t.Error(err)
	}
	if _, err := FindSource(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not in a checkout of EntroOS") {
		t.Errorf("error is %v", err)
	}
}

//go:build vm

package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/image/firmware"
	kernelconfig "github.com/entroos/entroos/kernel-config"
)

// What is published has at most so many bytes.
const (
	publishedUKI        = 40_000_000
	publishedCompressed = 45_000_000
)

// built are the images that `make image` made of this checkout.
func built(t *testing.T) Result {
	t.Helper()
	source, err := FindSource(".")
	if err != nil {
		t.Fatal(err)
	}
	version, err := ReadVersion(source)
	if err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(source, "build")
	result := Result{
		UKI: filepath.Join(output, "entroos-"+version+".efi"), Disk: filepath.Join(output, "entroos.img"),
		Compressed: filepath.Join(output, compressedName), Bill: filepath.Join(output, billName), Sums: filepath.Join(output, sumsName),
	}
	for _, path := range []string{result.UKI, result.Disk, result.Compressed, result.Bill, result.Sums} {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%v: run `make image` first", err)
		}
	}
	return result
}

func TestSizes(t *testing.T) {
	result := built(t)
	for path, limit := range map[string]int64{result.UKI: publishedUKI, result.Compressed: publishedCompressed} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes of %d", filepath.Base(path), info.Size(), limit)
		if info.Size() > limit {
			t.Errorf("%s has %d bytes: at most %d", path, info.Size(), limit)
		}
	}
	checkRelease(t, result)
}

// copyCheckout copies what git tracks to another folder.
func copyCheckout(t *testing.T, source, target string) {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z")
	cmd.Dir = source
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(output), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(source, name))
		if os.IsNotExist(err) {
			continue // removed, and that not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(target, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A copy of the checkout, in another folder, built later by a user with other
// settings, gives the bytes that `make image` gave.
func TestReproducibleFromCopy(t *testing.T) {
	first := built(t)
	source, err := FindSource(".")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TZ", "Pacific/Auckland")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	t.Setenv("SOURCE_DATE_EPOCH", "1")
	t.Setenv("GOFLAGS", "-ldflags=-X=main.x=1")
	defer unix.Umask(unix.Umask(0o027))
	elsewhere := filepath.Join(t.TempDir(), "another", "folder")
	copyCheckout(t, source, elsewhere)

	version, err := ReadVersion(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	kernels, err := kernelconfig.NewBuilder(nil)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := kernels.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	set, err := firmware.Load(context.Background(), firmware.Pinned, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(first.Disk)
	if err != nil {
		t.Fatal(err)
	}
	builder := Builder{
		Source: elsewhere, Output: filepath.Join(elsewhere, "out"), Version: version,
		Kernel: kernel.Image, KernelSource: kernels.Source, CommandLine: DefaultCommandLine,
		DataSize: info.Size() - dataOffset - tailSize, Firmware: set,
		Stage0: Stage0, Userland: Userland(),
	}
	second, err := builder.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range [][2]string{
		{first.UKI, second.UKI},
		{first.Disk, second.Disk},
		{first.Compressed, second.Compressed},
		{first.Bill, second.Bill},
		{first.Sums, second.Sums},
	} {
		if !same(t, files[0], files[1]) {
			t.Errorf("%s and %s differ (is `make image` up to date?)", files[0], files[1])
		}
	}
	if t.Failed() {
		compareRoots(t, filepath.Join(source, "build", "programs"), filepath.Join(builder.Output, "programs"))
	}
}

// compareRoots says which programs differ.
func compareRoots(t *testing.T, one, two string) {
	t.Helper()
	err := filepath.WalkDir(two, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if other := filepath.Join(one, entry.Name()); !same(t, other, path) {
			t.Errorf("%s and %s differ", other, path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The kernel's drivers ask for no firmware that the image lacks.
func TestFirmwareOfKernel(t *testing.T) {
	kernels, err := kernelconfig.NewBuilder(nil)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := kernels.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, name := range regexp.MustCompile(`[a-z0-9_]+/[A-Za-z0-9_/.-]+\.fw\x00`).FindAll(unpackKernel(t, kernel.Image), -1) {
		asked[strings.TrimRight(string(name), "\x00")] = true
	}
	if len(asked) < 10 {
		t.Fatalf("only %d names of firmware found in the kernel", len(asked))
	}
	set, err := firmware.Load(context.Background(), firmware.Pinned, nil)
	if err != nil {
		t.Fatal(err)
	}
	var has []string
	for name := range set.Files {
		if short, found := strings.CutPrefix(name, "/lib/firmware/"); found {
			has = append(has, short)
		}
	}
	for name := range asked {
		if !slices.Contains(has, name) {
			t.Errorf("the kernel asks for %s, and the image has none", name)
		}
	}
	for _, name := range has {
		if !asked[name] {
			t.Errorf("the image has %s, and the kernel never asks for it", name)
		}
	}
}

// unpackKernel unpacks the kernel proper from a bzImage.
func unpackKernel(t *testing.T, path string) []byte {
	t.Helper()
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Documentation/arch/x86/boot.rst: the protected-mode code begins after the
	// boot sector and setup_sects sectors, and the payload in it at payload_offset.
	const setupSectors, payloadOffset, payloadLength = 0x1f1, 0x248, 0x24c
	start := (int(image[setupSectors])+1)*512 + int(binary.LittleEndian.Uint32(image[payloadOffset:]))
	length := int(binary.LittleEndian.Uint32(image[payloadLength:]))
	decoder, err := zstd.NewReader(bytes.NewReader(image[start : start+length]))
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	// Its length follows the compressed kernel.
	kernel, err := io.ReadAll(decoder)
	if err != nil && len(kernel) < 16*mebibyte {
		t.Fatal(err)
	}
	return kernel
}

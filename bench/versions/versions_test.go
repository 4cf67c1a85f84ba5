// Package versions measures what successive versions of EntroOS's root file system
// cost, when each is kept as its differences from the one before:
//
//	go test -bench Versions -benchtime 1x -timeout 60m ./bench/versions
//
// Ten versions are made of the sources of this checkout. Each differs from the one
// before by a file of settings and by a changed string, of another length, in the
// main of ledgerd; every fifth also by a function in the package equations, which
// all of EntroOS's own programs import.
package versions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/image"
	"github.com/entroos/entroos/morphzip/chunk"
	"github.com/entroos/entroos/morphzip/delta"
)

const count = 10

// BenchmarkVersions reports which part of the size of versions 2 to 10 their
// differences take and, as peers are slow, which part of versions 2 and 5 alone
// (one of each kind), for this and each peer. ENTROOS_VERSIONS is a folder that
// the versions are kept in and taken from; ENTROOS_PEERS=0 leaves out the peers,
// and with ENTROOS_PEERS=all they have every version.
func BenchmarkVersions(b *testing.B) {
	roots := makeVersions(b)
	for b.Loop() {
		measureVersions(b, roots)
	}
}

func measureVersions(b *testing.B, roots []string) {
	methods := []struct {
		name  string
		patch func(b *testing.B, old, new string) int64
	}{{"delta", deltaOf}}
	if os.Getenv("ENTROOS_PEERS") != "0" {
		for _, peer := range []struct {
			name, tool string
			patch      func(b *testing.B, old, new string) int64
		}{{"chunks+zstd-19", "zstd", chunked}, {"zstd-19-patch-from", "zstd", patchFrom}, {"bsdiff", "bsdiff", bsdiff}} {
			if _, err := exec.LookPath(peer.tool); err != nil {
				b.Logf("without %s: %v", peer.name, err)
				continue
			}
			methods = append(methods, struct {
				name  string
				patch func(b *testing.B, old, new string) int64
			}{peer.name, peer.patch})
		}
	}
	totals := make([]int64, len(methods))
	var size, ours, few int64 // of all versions; of few, ours and the size
	for v := 1; v < len(roots); v++ {
		of, changed := sizeOf(b, roots[v]), changedFiles(b, roots[v-1], roots[v])
		size += of
		line := fmt.Sprintf("version %2d: %d bytes, %d files changed", v+1, of, len(changed))
		compared := v == 1 || v == 4
		for i, method := range methods {
			if i > 0 && !compared && os.Getenv("ENTROOS_PEERS") != "all" {
				continue
			}
			begin, sum := time.Now(), int64(0)
			for _, path := range changed {
				sum += method.patch(b, filepath.Join(roots[v-1], path), filepath.Join(roots[v], path))
			}
			totals[i] += sum
			if i == 0 && compared {
				ours += sum
				few += of
			}
			line += fmt.Sprintf("; %s %d in %.1f s", method.name, sum, time.Since(begin).Seconds())
		}
		b.Log(line)
	}
	b.ReportMetric(float64(totals[0])/float64(size), "delta-ratio")
	if os.Getenv("ENTROOS_PEERS") == "all" {
		few, ours = size, totals[0]
	}
	b.ReportMetric(float64(ours)/float64(few), "delta-ratio-as-peers")
	for i, method := range methods[1:] {
		b.ReportMetric(float64(totals[i+1])/float64(few), method.name+"-ratio")
	}
}

// deltaOf is the size of the delta, which it decodes too.
func deltaOf(b *testing.B, old, new string) int64 {
	debug.FreeOSMemory()
	oldFile, newFile := open(b, old), open(b, new)
	defer oldFile.Close()
	defer newFile.Close()
	var patch bytes.Buffer
	before := heap()
	check(b, delta.Encode(&patch, oldFile, sizeOfFile(b, oldFile), newFile, sizeOfFile(b, newFile)))
	if after := heap(); after > before+64<<20 {
		b.Errorf("encoding %s took %d MB of memory", new, (after-before)>>20)
	}
	size := int64(patch.Len())
	compare := &comparer{b: b, want: newFile}
	check(b, delta.Decode(compare, oldFile, sizeOfFile(b, oldFile), &patch))
	if compare.at != sizeOfFile(b, newFile) {
		b.Fatalf("%d bytes came out", compare.at)
	}
	return size
}

// heap is how much memory Go has asked of the kernel and not given back.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapReleased
}

// comparer fails where what is written is not the file.
type comparer struct {
	b    *testing.B
	want *os.File
	at   int64
}

func (c *comparer) Write(p []byte) (int, error) {
	want := make([]byte, len(p))
	if _, err := c.want.ReadAt(want, c.at); err != nil || !bytes.Equal(p, want) {
		c.b.Fatalf("another file came out at %d: %v", c.at, err)
	}
	c.at += int64(len(p))
	return len(p), nil
}

// chunked is what zstd makes of the chunks that the old file has not.
func chunked(b *testing.B, old, new string) int64 {
	known := map[string]bool{}
	var fresh bytes.Buffer
	for i, path := range []string{old, new} {
		file := open(b, path)
		chunks, err := chunk.New(file, 2<<10, 13, 64<<10)
		check(b, err)
		for {
			data, err := chunks.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			check(b, err)
			if i == 0 {
				known[string(data)] = true
			} else if !known[string(data)] {
				fresh.Write(data)
			}
		}
		check(b, file.Close())
	}
	return outputOf(b, &fresh, "zstd", "-19", "-q", "-c")
}

func patchFrom(b *testing.B, old, new string) int64 {
	return outputOf(b, nil, "zstd", "-19", "--long=27", "-q", "-c", "--patch-from="+old, new)
}

func bsdiff(b *testing.B, old, new string) int64 {
	patch := filepath.Join(b.TempDir(), "patch")
	outputOf(b, nil, "bsdiff", old, new, patch)
	info, err := os.Stat(patch)
	check(b, err)
	return info.Size()
}

// outputOf is how much a command writes.
func outputOf(b *testing.B, input io.Reader, name string, args ...string) int64 {
	var out, errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, &out, &errs
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v: %s", name, err, errs.String())
	}
	return int64(out.Len())
}

func open(b *testing.B, path string) *os.File {
	file, err := os.Open(path)
	check(b, err)
	return file
}

func sizeOfFile(b *testing.B, file *os.File) int64 {
	info, err := file.Stat()
	check(b, err)
	return info.Size()
}

// sizeOf is the size of all files below a folder.
func sizeOf(b *testing.B, root string) (size int64) {
	check(b, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	}))
	return size
}

// changedFiles are the files that differ from those of the same name in the
// other folder.
func changedFiles(b *testing.B, old, new string) (changed []string) {
	check(b, filepath.WalkDir(new, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(new, path)
		if err != nil {
			return err
		}
		was, err := os.ReadFile(filepath.Join(old, name))
		if err != nil {
			return err
		}
		is, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(was, is) {
			changed = append(changed, name)
		}
		return err
	}))
	return changed
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// makeVersions makes the versions' folders, or takes those that are there.
func makeVersions(b *testing.B) (roots []string) {
	folder := os.Getenv("ENTROOS_VERSIONS")
	if folder == "" {
		folder = b.TempDir()
	}
	sources := filepath.Join(b.TempDir(), "sources")
	for v := 1; v <= count; v++ {
		root := filepath.Join(folder, fmt.Sprintf("%02d", v))
		roots = append(roots, root)
		if _, err := os.Stat(root); err == nil {
			continue
		}
		if _, err := os.Stat(sources); err != nil {
			copySources(b, sources)
		}
		// A version whose making was broken off is none.
		building := root + ".new"
		check(b, os.RemoveAll(building))
		makeVersion(b, sources, building, v)
		check(b, os.Rename(building, root))
	}
	return roots
}

// copySources copies the module's sources.
func copySources(b *testing.B, to string) {
	module, err := filepath.Abs("../..")
	check(b, err)
	check(b, filepath.WalkDir(module, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(module, path)
		if err != nil {
			return err
		}
		top, _, _ := strings.Cut(name, string(filepath.Separator))
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(top, ".") || strings.HasPrefix(top, "build") || entry.Name() == "testdata") {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		if !entry.Type().IsRegular() || strings.HasPrefix(name, ".") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o644)
	}))
}

// makeVersion changes the sources to those of a version, and builds its root.
func makeVersion(b *testing.B, sources, root string, v int) {
	write(b, filepath.Join(sources, "cmd/ledgerd/version_note.go"), fmt.Sprintf(`package main

import "os"

func init() {
	if len(os.Args) > 1000 {
		os.Stderr.WriteString(%q)
	}
}
`, fmt.Sprintf("version %d: %s", v, strings.Repeat("so much is new. ", v*7%5+1)[:v*7%16+9])))
	if v%5 == 0 {
		write(b, filepath.Join(sources, fmt.Sprintf("equations/version%d.go", v)), fmt.Sprintf(`package equations

import "os"

func init() {
	if len(os.Args) > 2000 {
		os.Stderr.WriteString(argumentsOfVersion%[1]d(os.Args))
	}
}

// argumentsOfVersion%[1]d joins some arguments.
func argumentsOfVersion%[1]d(arguments []string) string {
	joined := "version %[1]d:"
	for i, argument := range arguments {
		if i%%%[1]d == 1 {
			joined += " " + argument
		}
	}
	return joined
}
`, v))
	}
	for _, program := range image.Userland() {
		output := filepath.Join(root, program.Path)
		check(b, os.MkdirAll(filepath.Dir(output), 0o755))
		if err := build(sources, output, program); err != nil {
			if program.Cgo {
				b.Logf("without %s: %v", program.Path, err)
				continue
			}
			b.Fatal(err)
		}
	}
	write(b, filepath.Join(root, "etc/os-release"), fmt.Sprintf("NAME=EntroOS\nID=entroos\nVERSION_ID=0.%[1]d.0\nPRETTY_NAME=\"EntroOS 0.%[1]d.0\"\n", v))
	write(b, filepath.Join(root, "etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n")
	write(b, filepath.Join(root, "etc/nsswitch.conf"), "hosts: files dns\n")
}

func write(b *testing.B, path, text string) {
	check(b, os.MkdirAll(filepath.Dir(path), 0o755))
	check(b, os.WriteFile(path, []byte(text), 0o644))
}

// build builds a program as package image does.
func build(sources, output string, program image.Program) error {
	flags, cgo := "-s -w", "CGO_ENABLED=0"
	if program.Cgo {
		flags, cgo = flags+" -linkmode external -extldflags -static", "CGO_ENABLED=1"
	}
	cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", flags, "-tags", program.Tags, "-o", output, program.Package)
	cmd.Dir = sources
	cmd.Env = slices.Concat(os.Environ(), []string{"GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=", "GOWORK=off", cgo})
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", program.Package, err, out)
	}
	return nil
}

package kernelconfig

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/entroos/entroos/image/hosttool"
)

// tinyLinux is the source of something that is configured and made as Linux is:
// its olddefconfig drops CONFIG_ORPHAN, as Kconfig drops an option without its
// parent. Each build leaves a line in the file BUILDS names.
const tinyLinux = `
tinyconfig:
	echo '# CONFIG_A is not set' > .config
olddefconfig:
	grep -v CONFIG_ORPHAN .config | tac | sort -u -t= -k1,1 > .config.new && mv .config.new .config
bzImage:
	@echo '  CC      one.o'
	@echo '  CC      two.o'
	@echo built >> BUILDS
	@mkdir -p arch/x86/boot
	@echo "kernel $(ARCH) $$KBUILD_BUILD_TIMESTAMP [$$KCFLAGS]" > arch/x86/boot/bzImage
`

// newTinyBuilder is a builder whose source is tinyLinux. The second result is
// the file in which builds leave their lines.
func newTinyBuilder(t *testing.T, fragment string) (*Builder, string) {
	t.Helper()
	if err := hosttool.Require("gcc", "ld", "make", "flex", "bison", "bc", "perl", "tar", "xz", "zstd", "/usr/include/gelf.h"); err != nil {
		t.Skip(err)
	}
	folder := t.TempDir()
	builds := filepath.Join(folder, "builds")
	source := filepath.Join(folder, "linux.tar.xz")
	packSource(t, source, strings.ReplaceAll(tinyLinux, "BUILDS", builds))
	return &Builder{
		Source:    source,
		CacheDir:  filepath.Join(folder, "cache"),
		Fragments: []Fragment{parse(t, fragment)},
	}, builds
}

// packSource makes the tarball of a source that has only a Makefile.
func packSource(t *testing.T, path, makefile string) {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "linux-source-0")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "Makefile"), []byte(makefile), 0o644); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("tar", "-cJf", path, "-C", filepath.Dir(tree), "linux-source-0").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

func lines(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return bytes.Count(data, []byte("\n"))
}

func TestBuildOnce(t *testing.T) {
	builder, builds := newTinyBuilder(t, "# About.\n\n# Why.\nCONFIG_B=y\n")
	t.Setenv("KCFLAGS", "-O0") // must not reach the build
	var progress bytes.Buffer
	builder.Progress = &progress
	if _, err := builder.Cached(context.Background()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("before the build the error is %v", err)
	}
	kernel, err := builder.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(kernel.Image)
	if err != nil {
		t.Fatal(err)
	}
	if want := "kernel x86_64 Thu Jan  1 00:00:00 UTC 2026 []\n"; string(image) != want {
		t.Errorf("the kernel is %q, want %q", image, want)
	}
	if !strings.Contains(progress.String(), "kernel: 0 %, ") {
		t.Errorf("progress is %q", progress.String())
	}
	again, err := builder.Build(context.Background())
	if err != nil || again != kernel {
		t.Fatalf("the second build gave %v, %v", again, err)
	}
	if n := lines(t, builds); n != 1 {
		t.Errorf("%d builds, want 1", n)
	}
	if left, err := filepath.Glob(filepath.Join(builder.CacheDir, "*"+unfinished)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	// Another reason for the same options is the same kernel.
	builder.Fragments = []Fragment{parse(t, "# About.\n\n# Another why.\nCONFIG_B=y\n")}
	if cached, err := builder.Cached(context.Background()); err != nil || cached != kernel {
		t.Errorf("with another comment: %v, %v", cached, err)
	}
	builder.Fragments = []Fragment{parse(t, "# About.\n\n# Why.\nCONFIG_C=y\n")}
	if _, err := builder.Cached(context.Background()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("with other options the error is %v", err)
	}
}

func TestBuildNamesDroppedOption(t *testing.T) {
	builder, builds := newTinyBuilder(t, "# About.\n\n# Why.\nCONFIG_B=y\nCONFIG_ORPHAN=y\n")
	_, err := builder.Build(context.Background())
	var dropped *DroppedError
	if !errors.As(err, &dropped) || !strings.Contains(err.Error(), "CONFIG_ORPHAN (sample.config): wanted y, is absent") {
		t.Fatalf("error is %v", err)
	}
	if strings.Contains(err.Error(), "CONFIG_B") {
		t.Errorf("error names an option that is there: %v", err)
	}
	if n := lines(t, builds); n != 0 {
		t.Errorf("%d builds, want none", n)
	}
	if left, err := filepath.Glob(filepath.Join(builder.CacheDir, "*"+unfinished)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestConcurrentBuildsBuildOnce(t *testing.T) {
	builder, builds := newTinyBuilder(t, "# About.\n\n# Why.\nCONFIG_B=y\n")
	results := make(chan error)
	const callers = 4
	for range callers {
		go func() {
			_, err := builder.Build(context.Background())
			results <- err
		}()
	}
	for range callers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := lines(t, builds); n != 1 {
		t.Errorf("%d builds, want 1", n)
	}
}

func TestBuildShowsWhatMakeSaid(t *testing.T) {
	builder, _ := newTinyBuilder(t, "# About.\n\n# Why.\nCONFIG_B=y\n")
	packSource(t, builder.Source, strings.Replace(tinyLinux, "bzImage:\n", "bzImage:\n\techo one.c:1: error: no such thing >&2; exit 1\n", 1))
	if _, err := builder.Build(context.Background()); err == nil || !strings.Contains(err.Error(), "one.c:1: error: no such thing") {
		t.Errorf("error is %v", err)
	}
}

// An interrupted build leaves no kernel and no process, and the next one does
// not begin anew.
func TestInterruptedBuildGoesOn(t *testing.T) {
	builder, builds := newTinyBuilder(t, "# About.\n\n# Why.\nCONFIG_B=y\n")
	started := filepath.Join(t.TempDir(), "started")
	makefile := strings.ReplaceAll(tinyLinux, "BUILDS", builds)
	makefile = strings.Replace(makefile, "bzImage:\n", "bzImage:\n\ttest -e begun || { touch begun; echo $$$$ > "+started+"; exec sleep 600; }\n", 1)
	packSource(t, builder.Source, makefile)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if lines(t, started) == 1 {
				return
			}
		}
		t.Error("make did not start")
	}()
	if _, err := builder.Build(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	shell, err := os.ReadFile(started)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(shell)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d of the interrupted build is still there", pid)
		}
	}
	if _, err := builder.Cached(context.Background()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the interruption the error is %v", err)
	}
	// In a tree of its own it would wait again.
	if _, err := builder.Build(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestMissingSource(t *testing.T) {
	builder := &Builder{Source: filepath.Join(t.TempDir(), "absent.tar.xz"), CacheDir: t.TempDir()}
	var missing *hosttool.MissingError
	if _, err := builder.Build(context.Background()); !errors.As(err, &missing) {
		t.Errorf("error is %v", err)
	}
}

func TestProgressEstimate(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	p.compiling()
	start := p.started
	p.steps = (expectedSteps + 3) / 4
	p.show(start.Add(time.Minute))
	p.steps = expectedSteps / 2
	p.show(start.Add(2 * time.Minute))
	p.show(start.Add(2*time.Minute + time.Second)) // the same tenth: nothing new
	p.steps = expectedSteps * 2                    // more than estimated
	p.show(start.Add(4 * time.Minute))
	want := "kernel: 25 %, 3m0s left\nkernel: 50 %, 2m0s left\nkernel: 99 %, 2s left\n"
	if out.String() != want {
		t.Errorf("progress is\n%s\nwant\n%s", out.String(), want)
	}
}

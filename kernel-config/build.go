package kernelconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/entroos/entroos/image/hosttool"
)

// DefaultSource is where Debian's linux-source-6.12 puts the kernel's source.
const DefaultSource = "/usr/src/linux-source-6.12.tar.xz"

// Builder builds the kernel, once for each set of inputs: the result is kept
// under CacheDir and found again by their hash.
type Builder struct {
	// Source is the kernel's source, a tar.xz with one folder at its top.
	Source string
	// CacheDir is where kernels are kept, each in a folder of its own.
	CacheDir string
	// Fragments are the options asked for.
	Fragments []Fragment
	// Jobs is how many compilers run at once; 0 means one for each processor.
	Jobs int
	// Progress is told how far the build is; a terminal gets one line that
	// changes, anything else plain lines. Nil for silence.
	Progress io.Writer
}

// NewBuilder is a builder of EntroOS's own kernel from Debian's source, with
// its cache in the user's cache folder ($XDG_CACHE_HOME or ~/.cache, then
// entroos/kernel).
func NewBuilder(progress io.Writer) (*Builder, error) {
	fragments, err := Fragments()
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding the folder for built kernels: %w", err)
	}
	return &Builder{
		Source:    DefaultSource,
		CacheDir:  filepath.Join(cache, "entroos", "kernel"),
		Fragments: fragments,
		Progress:  progress,
	}, nil
}

// Kernel is a built kernel in the cache.
type Kernel struct {
	// Image is the path of the bzImage.
	Image string
	// Config is the path of the final .config.
	Config string
}

// Cached returns the kernel of the builder's inputs if it is built already. The
// error is os.ErrNotExist when it is not.
func (b *Builder) Cached(ctx context.Context) (Kernel, error) {
	key, err := b.Key(ctx)
	if err != nil {
		return Kernel{}, err
	}
	return b.kernel(key)
}

// kernel is the kernel kept under a key. A folder gets its name only once all
// in it is complete, so that its presence is enough.
func (b *Builder) kernel(key string) (Kernel, error) {
	folder := filepath.Join(b.CacheDir, key)
	kernel := Kernel{Image: filepath.Join(folder, "bzImage"), Config: filepath.Join(folder, "config")}
	for _, path := range []string{kernel.Image, kernel.Config} {
		if _, err := os.Stat(path); err != nil {
			return Kernel{}, err
		}
	}
	return kernel, nil
}

// Build returns the kernel of the builder's inputs, building it first where the
// cache has none. Builds of one cache wait for each other. A build that was
// interrupted is taken up where it stopped.
func (b *Builder) Build(ctx context.Context) (Kernel, error) {
	key, err := b.Key(ctx)
	if err != nil {
		return Kernel{}, err
	}
	if kernel, err := b.kernel(key); err == nil || !errors.Is(err, os.ErrNotExist) {
		return kernel, err
	}
	if err := hosttool.Require("gcc", "ld", "make", "flex", "bison", "bc", "perl", "tar", "xz", "zstd", "/usr/include/gelf.h"); err != nil {
		return Kernel{}, err
	}
	if err := os.MkdirAll(b.CacheDir, 0o755); err != nil {
		return Kernel{}, err
	}
	progress := newProgress(b.Progress)
	defer progress.close()

	lock := flock.New(filepath.Join(b.CacheDir, "lock"))
	locked, err := lock.TryLock()
	if err == nil && !locked {
		progress.say("waiting for another build of a kernel")
		_, err = lock.TryLockContext(ctx, 200*time.Millisecond)
	}
	if err != nil {
		return Kernel{}, fmt.Errorf("locking the kernel cache %s: %w", b.CacheDir, err)
	}
	defer lock.Unlock() //nolint:errcheck // closing the file releases it too, and nothing was written to it

	// The build waited for may have been of this kernel.
	if kernel, err := b.kernel(key); err == nil || !errors.Is(err, os.ErrNotExist) {
		return kernel, err
	}
	work := filepath.Join(b.CacheDir, key+unfinished)
	if err := b.removeUnfinished(work); err != nil {
		return Kernel{}, err
	}
	tree, err := b.extract(ctx, work, progress)
	if err != nil {
		return Kernel{}, err
	}
	if err := b.configure(ctx, tree, progress); err != nil {
		var dropped *DroppedError
		if errors.As(err, &dropped) {
			// The mended fragments will have another key.
			err = errors.Join(err, os.RemoveAll(work))
		}
		return Kernel{}, err
	}
	if err := b.compile(ctx, work, tree, progress); err != nil {
		return Kernel{}, err
	}
	if err := b.keep(key, work, tree); err != nil {
		return Kernel{}, err
	}
	progress.say("built")
	return b.kernel(key)
}

// unfinished is what the name of a folder with a build in it ends in.
const unfinished = ".unfinished"

// removeUnfinished removes what interrupted builds of other kernels left: each
// is 2 GB. The caller holds the lock, so that none of them is running.
func (b *Builder) removeUnfinished(except string) error {
	stale, err := filepath.Glob(filepath.Join(b.CacheDir, "*"+unfinished))
	if err != nil {
		return err
	}
	for _, path := range stale {
		if path == except {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("removing an interrupted build: %w", err)
		}
	}
	return nil
}

// extract unpacks the source into the folder work, unless that is done already,
// and returns the kernel's tree.
func (b *Builder) extract(ctx context.Context, work string, progress *progress) (string, error) {
	tree := filepath.Join(work, "linux")
	if _, err := os.Stat(tree); err == nil || !errors.Is(err, os.ErrNotExist) {
		return tree, err
	}
	progress.say("unpacking " + b.Source)
	if err := os.RemoveAll(work); err != nil {
		return "", err
	}
	partial := filepath.Join(work, "partial")
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return "", err
	}
	if err := run(ctx, "", "tar", "--extract", "--xz", "--file", b.Source, "--directory", partial, "--strip-components=1", "--no-same-owner"); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", b.Source, err)
	}
	// Named only once it is whole, so that an interrupted tar is not taken for one.
	return tree, os.Rename(partial, tree)
}

// configure makes the tree's .config from tinyconfig and the fragments, and
// checks that Kconfig kept all of them.
func (b *Builder) configure(ctx context.Context, tree string, progress *progress) error {
	progress.say("configuring")
	if err := run(ctx, tree, "make", append(makeVariables(), "tinyconfig")...); err != nil {
		return fmt.Errorf("make tinyconfig: %w", err)
	}
	path := filepath.Join(tree, ".config")
	tiny, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(tiny, Text(b.Fragments)...), 0o644); err != nil {
		return err
	}
	if err := run(ctx, tree, "make", append(makeVariables(), "olddefconfig")...); err != nil {
		return fmt.Errorf("make olddefconfig: %w", err)
	}
	final, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return Check(b.Fragments, bytes.NewReader(final))
}

// compile makes the tree's bzImage. What make says goes to a file beside the
// tree, and its end into the error.
func (b *Builder) compile(ctx context.Context, work, tree string, progress *progress) (err error) {
	logPath := filepath.Join(work, "log")
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	jobs := b.Jobs
	if jobs == 0 {
		jobs = runtime.NumCPU()
	}
	cmd := command(ctx, tree, "make", append(makeVariables(), "--jobs="+strconv.Itoa(jobs), "bzImage")...)
	cmd.Stdout = io.MultiWriter(log, progress.compiling())
	cmd.Stderr = log
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("building the kernel: %w (the next build goes on from here)", context.Cause(ctx))
		}
		return fmt.Errorf("building the kernel: %w; the end of %s:\n%s", err, logPath, tail(logPath, 20))
	}
	return nil
}

// keep moves the built kernel to its place in the cache and drops the tree.
func (b *Builder) keep(key, work, tree string) error {
	ready := filepath.Join(work, "ready")
	if err := os.RemoveAll(ready); err != nil {
		return err
	}
	if err := os.Mkdir(ready, 0o755); err != nil {
		return err
	}
	for from, to := range map[string]string{"arch/x86/boot/bzImage": "bzImage", ".config": "config"} {
		data, err := os.ReadFile(filepath.Join(tree, from))
		if err != nil {
			return err
		}
		if err := writeSynced(filepath.Join(ready, to), data); err != nil {
			return err
		}
	}
	if err := os.Rename(ready, filepath.Join(b.CacheDir, key)); err != nil {
		return err
	}
	return os.RemoveAll(work)
}

// writeSynced writes a file and waits until it is on disk: the cache is trusted
// without looking inside, after a power cut too.
func writeSynced(path string, data []byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// run runs a program to its end; its output is in the error.
func run(ctx context.Context, folder, name string, args ...string) error {
	cmd := command(ctx, folder, name, args...)
	output, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, lastLines(output, 20))
	}
	return nil
}

// command is a program in the build's own environment, which takes its children
// along when the context ends.
func command(ctx context.Context, folder, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = folder
	cmd.Env = buildEnvironment(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// tail is the end of a text file, or why it cannot be read.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return lastLines(data, lines)
}

// lastLines are the last lines of a text.
func lastLines(text []byte, lines int) string {
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

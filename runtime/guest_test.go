//go:build guest

package runtime_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gorunc "github.com/containerd/go-runc"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/morphzip/store"
	"github.com/entroos/entroos/qemu"
	"github.com/entroos/entroos/runtime"
	"github.com/entroos/entroos/runtime/space"
)

func TestMain(m *testing.M) { qemu.GuestMain(m) }

// children are processes for tests: os/exec's own, and orphans waited for one
// by one.
type children struct{ gorunc.ProcessMonitor }

func (children) WaitPID(pid int) (<-chan runtime.Exit, error) {
	exits := make(chan runtime.Exit, 1)
	go func() {
		defer close(exits)
		var s unix.WaitStatus
		for {
			_, err := unix.Wait4(pid, &s, 0, nil)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return
			}
			break
		}
		e := runtime.Exit{PID: pid, At: time.Now()}
		if s.Signaled() {
			e.Signal = int(s.Signal())
		} else {
			e.Code = s.ExitStatus()
		}
		exits <- e
	}()
	return exits, nil
}

var monitor = gorunc.Monitor // the default, before New replaces it

// box is a runtime with the test image.
type box struct {
	*runtime.Runtime
	t      *testing.T
	config runtime.Config
	next   int
	mu     sync.Mutex
}

const testImage = "payload:latest"

// newBox makes a runtime on empty folders.
func newBox(t *testing.T) *box {
	t.Helper()
	data, err := os.MkdirTemp("/perm", "box-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(data, 0o711); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(data, "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := store.Open(filepath.Join(data, "logs.db"), store.Options{Room: func() (int64, error) { return space.Left(data) }})
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, config: runtime.Config{
		Images: data + "/images", Logs: logs, Volumes: data + "/volumes", Containers: data + "/containers",
		Run: "/run/" + filepath.Base(data), Runc: "/bin/runc", Cgroup: "/workloads", DB: db,
		Processes: children{monitor}, Resolv: "/etc/resolv.conf",
		Logger: slog.New(slog.NewTextHandler(os.Stdout, nil)),
	}}
	if b.Runtime, err = runtime.New(b.config); err != nil {
		t.Fatal(err)
	}
	if err := b.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Import(t.Context(), bytes.NewReader(payloadArchive(t)), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.Recover(context.Background()), logs.Close(), db.Close(), os.RemoveAll(data)); err != nil {
			t.Error(err)
		}
	})
	return b
}

// payloadArchive is a docker-archive of two layers with the payload.
var payloadArchive = func() func(t *testing.T) []byte {
	var once sync.Once
	var archive []byte
	return func(t *testing.T) []byte {
		once.Do(func() { archive = makePayloadArchive(t) })
		return archive
	}
}()

func makePayloadArchive(t *testing.T) []byte {
	t.Helper()
	program, err := os.ReadFile("/bin/payload")
	if err != nil {
		t.Fatal(err)
	}
	base := makeLayer(t,
		&tar.Header{Name: "bin/", Mode: 0o755}, nil,
		&tar.Header{Name: "bin/payload", Mode: 0o755}, program,
		&tar.Header{Name: "etc/", Mode: 0o755}, nil,
		&tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1000::/home/worker:/bin/sh\n"),
		&tar.Header{Name: "etc/group", Mode: 0o644}, []byte("root:x:0:\nworker:x:1000:\naudio:x:29:worker\n"),
		&tar.Header{Name: "etc/gone", Mode: 0o644}, []byte("of the lower layer\n"),
		&tar.Header{Name: "home/", Mode: 0o755}, nil,
		&tar.Header{Name: "home/worker/", Mode: 0o700, Uid: 1000, Gid: 1000}, nil,
		&tar.Header{Name: "home/worker/own", Mode: 0o600, Uid: 1000, Gid: 1000}, []byte("mine\n"),
		&tar.Header{Name: "tmp/", Mode: 0o1777}, nil,
	)
	top := makeLayer(t,
		&tar.Header{Name: "etc/.wh.gone", Mode: 0o644}, []byte{},
		&tar.Header{Name: "etc/here", Mode: 0o644}, []byte("of the upper layer\n"),
	)
	image, err := mutate.AppendLayers(empty.Image, base, top)
	if err != nil {
		t.Fatal(err)
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64", RootFS: mustConfig(t, image).RootFS,
		Config: v1.Config{Entrypoint: []string{"/bin/payload"}, Cmd: []string{"hello"}, Env: []string{"FROM=image"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(testImage)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := tarball.Write(tag, image, &archive); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

func mustConfig(t *testing.T, image v1.Image) *v1.ConfigFile {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// makeLayer makes a layer of headers and contents in turn; nil is a folder.
func makeLayer(t *testing.T, entries ...any) v1.Layer {
	t.Helper()
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	for i := 0; i < len(entries); i += 2 {
		h := entries[i].(*tar.Header)
		content, isFile := entries[i+1].([]byte)
		h.Typeflag = tar.TypeDir
		if isFile {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(raw.Bytes())), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// spec is the payload's with arguments.
func spec(args ...string) *entroosv1.WorkloadSpec {
	return &entroosv1.WorkloadSpec{Image: testImage, Args: args}
}

// id gives another id each time.
func (b *box) id() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, b.config.Run, b.next)))
}

// start creates and starts a container, which is closed and removed when the
// test ends.
func (b *box) start(s *entroosv1.WorkloadSpec, attached runtime.IO) *runtime.Container {
	b.t.Helper()
	c := b.create(b.id(), s, attached)
	if err := c.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *box) create(id string, s *entroosv1.WorkloadSpec, attached runtime.IO) *runtime.Container {
	b.t.Helper()
	w, err := b.Resolve(s)
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := b.Create(b.t.Context(), id, w, attached)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		ctx := context.Background()
		_ = c.Kill(ctx, int(unix.SIGKILL)) // it may have ended
		<-c.Done()
		if err := errors.Join(c.Close(ctx), b.Remove(ctx, id)); err != nil {
			b.t.Error(err)
		}
	})
	return c
}

// result waits for the end.
func result(t *testing.T, c *runtime.Container) runtime.Result {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(time.Minute):
		t.Fatal("the container does not end")
	}
	return c.Result()
}

// run runs a container to its end, and gives its output.
func (b *box) run(s *entroosv1.WorkloadSpec) (stdout, stderr string, r runtime.Result) {
	b.t.Helper()
	var out, errs bytes.Buffer
	c := b.start(s, runtime.IO{Stdout: &out, Stderr: &errs})
	r = result(b.t, c)
	if r.Err != nil {
		b.t.Error(r.Err)
	}
	return out.String(), errs.String(), r
}

// mustRun is run for what must succeed.
func (b *box) mustRun(s *entroosv1.WorkloadSpec) string {
	b.t.Helper()
	stdout, stderr, r := b.run(s)
	if r.ExitCode != 0 {
		b.t.Fatalf("exit %d: %s%s", r.ExitCode, stdout, stderr)
	}
	return stdout
}

// lines is a writer that tells of whole lines.
type lines struct {
	mu   sync.Mutex
	all  strings.Builder
	more chan struct{}
}

func newLines() *lines { return &lines{more: make(chan struct{}, 1)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.Write(p)
	select {
	case l.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// expect waits until the text was written.
func (l *lines) expect(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !strings.Contains(l.String(), text) {
		select {
		case <-l.more:
		case <-deadline:
			t.Fatalf("%q was not written, but %q", text, l.String())
		}
	}
}

// command runs a program on the box.
func command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

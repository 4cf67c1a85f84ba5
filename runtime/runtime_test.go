//go:build !guest

package runtime

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gorunc "github.com/containerd/go-runc"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/entroos/entroos/morphzip/store"
	"github.com/entroos/entroos/runtime/oci"
	"github.com/entroos/entroos/runtime/space"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noOrphans are processes of tests that reparent none.
type noOrphans struct{ gorunc.ProcessMonitor }

func (noOrphans) WaitPID(int) (<-chan Exit, error) { return nil, os.ErrProcessDone }

var monitor = gorunc.Monitor

// newTestRuntime makes a runtime with an image named test.
func newTestRuntime(t testing.TB, config v1.Config) *Runtime {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("unpacking layers takes root")
	}
	dir := t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	r, err := New(Config{
		Images: dir + "/images", Logs: openLogs(t, dir), Volumes: dir + "/volumes", Containers: dir + "/containers",
		Run: dir + "/run", Runc: "/bin/runc", Cgroup: "/workloads", DB: db, Processes: noOrphans{monitor},
		Resolv: "/etc/resolv.conf", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Import(t.Context(), testArchive(t, config), ""); err != nil {
		t.Fatal(err)
	}
	return r
}

// openLogs opens a store of logs in a folder.
func openLogs(t testing.TB, dir string) *store.Store {
	t.Helper()
	logs, err := store.Open(filepath.Join(dir, "logs.db"), store.Options{Room: func() (int64, error) { return space.Left(dir) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := logs.Close(); err != nil && !errors.Is(err, space.ErrFull) {
			t.Error(err)
		}
	})
	return logs
}

// readLog gives what a container's log has.
func readLog(t testing.TB, r *Runtime, id string) string {
	t.Helper()
	var text strings.Builder
	if err := r.Logs(context.Background(), id, store.Query{Tail: -1}, func(e store.Entry) error {
		text.Write(e.Data)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func testArchive(t testing.TB, config v1.Config) io.Reader {
	t.Helper()
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	for name, content := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:/bin/sh\nhuge:x:70000:70000::/:/bin/sh\n",
		"etc/group":  "root:x:0:\nweb:x:33:\nadm:x:4:root,web\n",
	} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", "amd64", config
	if image, err = mutate.ConfigFile(image, file); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := tarball.Write(name.MustParseReference("test"), image, &archive); err != nil {
		t.Fatal(err)
	}
	return &archive
}

func TestImages(t *testing.T) {
	r := newTestRuntime(t, v1.Config{Cmd: []string{"/bin/true"}})
	image, err := r.Image("test")
	if err != nil || image.References[0] != "test:latest" || image.Os != "linux" || image.Architecture != "amd64" || image.SizeBytes == 0 {
		t.Fatalf("%v, %v", image, err)
	}
	if images, err := r.Images(); err != nil || len(images) != 1 || images[0].Digest != image.Digest {
		t.Errorf("%v, %v", images, err)
	}
	c, err := r.claim("one", image.Digest)
	if err != nil || c.rootID() != firstID {
		t.Fatalf("%+v, %v", c, err)
	}
	if other, err := r.claim("two", image.Digest); err != nil || other.rootID() != firstID+idsPerContainer {
		t.Errorf("%+v, %v", other, err)
	}
	if again, err := r.claim("one", image.Digest); err != nil || again != c {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := r.claim("one", "sha256:other"); err == nil {
		t.Error("a container changed its image")
	}
	if _, err := r.claim("three", "sha256:missing"); !errors.Is(err, oci.ErrNotFound) {
		t.Error(err)
	}
	if err := r.RemoveImage(t.Context(), "test"); !errors.Is(err, oci.ErrInUse) {
		t.Error(err)
	}
	for _, id := range []string{"one", "two", "never"} {
		if err := r.Remove(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if third, err := r.claim("three", image.Digest); err != nil || third.Slot != 0 {
		t.Errorf("a slot that is free is not taken: %+v, %v", third, err)
	}
	if err := r.Remove(t.Context(), "three"); err != nil {
		t.Error(err)
	}
	if err := r.RemoveImage(t.Context(), "test"); err != nil {
		t.Error(err)
	}
	if _, err := r.Image("test"); !errors.Is(err, oci.ErrNotFound) {
		t.Error(err)
	}
	for _, bad := range []string{"", "..", "a/b", strings.Repeat("x", 65)} {
		if err := r.Remove(t.Context(), bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("Remove(%q): %v", bad, err)
		}
		if err := r.Logs(t.Context(), bad, store.Query{}, nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("Logs(%q): %v", bad, err)
		}
	}
}

func TestUserNamespace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mapping ids takes root")
	}
	ns, err := newUserNamespace(noOrphans{monitor}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	own, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink("/proc/self/fd/" + strings.TrimPrefix(ns.Name(), "/")); err == nil && target == own {
		t.Error("it is our own")
	}
	// The program in it sleeps, and does nothing else.
	f, err := sleeper()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := filepath.Join(t.TempDir(), "sleeper")
	if err := os.WriteFile(path, sleeperELF(), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		t.Errorf("it ended: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	<-ended
}

func TestResolver(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	r := &resolver{source: source, dir: dir}
	read := func(name string) string {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if err := r.refresh(); err != nil || read(r.reachable()) != "" {
		t.Errorf("%q, %v", read(r.reachable()), err)
	}
	before, err := os.Stat(r.reachable())
	if err != nil {
		t.Fatal(err)
	}
	content := "search example.org\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1\noptions edns0"
	if err := os.WriteFile(source, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.refresh(); err != nil {
		t.Fatal(err)
	}
	if got := read(r.whole()); got != content {
		t.Errorf("whole %q", got)
	}
	if got, want := read(r.reachable()), "search example.org\nnameserver 192.0.2.1\noptions edns0"; got != want {
		t.Errorf("reachable %q", got)
	}
	if after, err := os.Stat(r.reachable()); err != nil || !os.SameFile(before, after) || after.Mode().Perm() != 0o644 {
		t.Errorf("the file was replaced: %v, %v", after, err)
	}
}

func TestRuncErrors(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	base := errors.New("exit status 1")
	if err := runcError(base, log, " complaint\n"); !strings.HasSuffix(err.Error(), ": complaint") || !errors.Is(err, base) {
		t.Error(err)
	}
	text := `{"level":"warning","msg":"w"}` + "\n" + `{"level":"error","msg":"runc create failed: the reason"}` + "\nrubbish\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := runcError(base, log, "complaint"); err.Error() != "the reason" {
		t.Error(err)
	}
}

func TestUsageFiles(t *testing.T) {
	dir := t.TempDir()
	if u := readUsage(dir, time.Second); u.CPUUserMicros != NotMeasured || u.MemoryPeakBytes != NotMeasured || u.IOReadBytes != NotMeasured || u.PidsPeak != NotMeasured || u.WallMicros != 1e6 {
		t.Errorf("%+v", u)
	}
	for name, content := range map[string]string{
		"cpu.stat": "usage_usec 30\nuser_usec 10\nsystem_usec 20\n", "memory.peak": "4096\n", "pids.peak": "3\n",
		"io.stat": "8:0 rbytes=1 wbytes=2 rios=1\n8:16 rbytes=10 wbytes=20\n", "memory.events": "low 0\noom 2\noom_kill 1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := Usage{10, 20, 4096, 11, 22, 3, 2e6}
	u := readUsage(dir, 2*time.Second)
	if u != want {
		t.Errorf("%+v", u)
	}
	if got := u.since(Usage{4, 30, 1, NotMeasured, 2, 1, 1}); got != (Usage{6, 0, 4096, 11, 20, 3, 2e6}) {
		t.Errorf("%+v", got)
	}
	if killed, err := oomKilled(dir); !killed || err != nil {
		t.Error(killed, err)
	}
	if killed, err := oomKilled(t.TempDir()); killed || err != nil {
		t.Error(killed, err)
	}
}

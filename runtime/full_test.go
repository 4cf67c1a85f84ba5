//go:build !guest

package runtime

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime/logfile"
	"github.com/entroos/entroos/runtime/space"
)

// TestFullDisk has a disk that is full but for its reserve.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting takes root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=80m"); err != nil {
		t.Skip("mounting: ", err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newTestRuntime(t, v1.Config{Cmd: []string{"/bin/true"}}) // on another disk
	for _, d := range []*string{&r.config.Containers, &r.config.Logs} {
		*d = filepath.Join(dir, filepath.Base(*d))
		if err := os.Mkdir(*d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	w, err := r.Resolve(&entroosv1.WorkloadSpec{Image: "test"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Create(t.Context(), "new", w, IO{})
	if !errors.Is(err, space.ErrFull) || !strings.Contains(err.Error(), "`images prune`") {
		t.Errorf("a new container: %v", err)
	}
	if _, ok, err := r.lookup("new"); ok || err != nil {
		t.Errorf("it has a record: %v", err)
	}
	for _, d := range []string{r.config.Containers, r.config.Logs, r.bundles()} {
		if entries, err := os.ReadDir(d); err != nil || len(entries) > 0 {
			t.Errorf("%s: %v, %v", d, entries, err)
		}
	}

	// A log loses what comes, and goes on when there is room again.
	l, err := logfile.Open(r.logDir("log"), 32<<20)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Append(time.Now(), logfile.Stdout, []byte("lost\n")); !errors.Is(err, space.ErrFull) {
			t.Error(err)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	chunk := bytes.Repeat([]byte("x"), 60<<10)
	written := 0
	for err = nil; err == nil && written < 80<<20; written += len(chunk) {
		err = l.Append(time.Now(), logfile.Stdout, chunk)
	}
	if !errors.Is(err, space.ErrFull) {
		t.Error(err)
	}
	free, err := space.Available(dir)
	if err != nil || free.Bytes < 0 || written < 10<<20 {
		t.Errorf("of 80 MiB the log took %d, and %d bytes more may be written, %v", written, free.Bytes, err)
	}
	if err := l.Close(); err != nil && !errors.Is(err, space.ErrFull) {
		t.Error(err)
	}
	got := ""
	if err := r.Logs(t.Context(), "log", LogOptions{Tail: -1}, func(e LogEntry) error {
		got += string(e.Data[:min(len(e.Data), 100)])
		return nil
	}); err != nil || !strings.HasPrefix(got, "[10 bytes of output are missing here") {
		t.Errorf("the log begins with %.100q, %v", got, err)
	}
}

func TestVolumesOfImages(t *testing.T) {
	mounts := []*entroosv1.VolumeMount{{Source: "v", Target: "/a/b/c"}, {Source: "w", Target: "/a/"}}
	w := &Workload{}
	if err := w.resolveMounts(mounts, map[string]struct{}{"/a/b": {}, "/a": {}, "/z": {}}); err != nil {
		t.Fatal(err)
	}
	want := []Mount{{Source: "w", Target: "/a"}, {Target: "/z"}, {Target: "/a/b"}, {Source: "v", Target: "/a/b/c"}}
	for i, m := range w.Mounts {
		if len(w.Mounts) != len(want) || m != want[i] {
			t.Fatalf("%+v", w.Mounts)
		}
	}
	for _, bad := range []string{"/", "", "relative", "/proc/x", "/dev", "/a\x00b", strings.Repeat("/x", 3000)} {
		if err := new(Workload).resolveMounts(nil, map[string]struct{}{bad: {}}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestReplaceFolder(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{".new-a", ".new-a/content", "a", ".new-b", "b", "b/mine"} {
		if err := root.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := replaceFolder(root, ".new-a", "a"); err != nil {
		t.Error("an empty folder: ", err)
	}
	if _, err := root.Stat("a/content"); err != nil {
		t.Error(err)
	}
	if err := replaceFolder(root, "a", "c"); err != nil {
		t.Error("no folder: ", err)
	}
	if err := replaceFolder(root, ".new-b", "b"); err == nil {
		t.Error("a folder with something in it was replaced")
	}
}

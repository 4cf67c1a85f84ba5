//go:build !guest

package runtime

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/morphzip/store"
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
	r.logs = openLogs(t, dir)
	r.config.Containers = filepath.Join(dir, "containers")
	if err := os.Mkdir(r.config.Containers, 0o711); err != nil {
		t.Fatal(err)
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
	for _, d := range []string{r.config.Containers, r.bundles()} {
		if entries, err := os.ReadDir(d); err != nil || len(entries) > 0 {
			t.Errorf("%s: %v, %v", d, entries, err)
		}
	}

	// A log loses what comes, and goes on when there is room again.
	log := r.logs.Appender(logStream("log"))
	o := newOutput(nil, store.Stdout, log, nil)
	for i := 0; o.lost == 0; i++ {
		o.take([]byte("kept or lost\n"))
		if err := log.Sync(); !errors.Is(err, space.ErrFull) || i > 2 {
			t.Fatalf("%d bytes lost, %v", o.lost, err)
		}
	}
	if !errors.Is(o.logErr, space.ErrFull) {
		t.Error(o.logErr)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); log.Sync() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the disk has room again, and the log does not go on")
		}
	}
	lost := o.lost
	o.take([]byte("kept\n"))
	if err := log.Close(); err != nil || o.lost != lost {
		t.Errorf("%d bytes lost, %v", o.lost, err)
	}
	want := fmt.Sprintf("[%d bytes of output are missing here: they could not be logged]\nkept\n", lost)
	if got := readLog(t, r, "log"); !strings.HasSuffix(got, want) {
		t.Errorf("the log is %q, and does not end with %q", got, want)
	}

	// It takes nothing of what is kept for the box itself, but for bbolt's own pages.
	random := rand.New(rand.NewPCG(1, 2))
	chunk := make([]byte, 60<<10)
	log = r.logs.Appender(logStream("large"))
	o, written := newOutput(nil, store.Stdout, log, nil), 0
	for ; o.lost == 0 && written < 80<<20; written += len(chunk) {
		for i := range chunk {
			chunk[i] = byte(random.Uint32())
		}
		o.take(chunk)
	}
	free, err := space.Available(dir)
	if !errors.Is(o.logErr, space.ErrFull) || err != nil || free.Bytes < -(1<<20) || written < 10<<20 {
		t.Errorf("of 80 MiB the log took %d, and %d bytes more may be written: %v, %v", written, free.Bytes, o.logErr, err)
	}
	if err := log.Close(); err != nil && !errors.Is(err, space.ErrFull) {
		t.Error(err)
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

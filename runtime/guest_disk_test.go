//go:build guest

package runtime_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime"
	"github.com/entroos/entroos/runtime/oci"
	"github.com/entroos/entroos/runtime/space"
)

// importChanged imports the payload's image under another name, its
// configuration changed.
func (b *box) importChanged(ref string, change func(*v1.Config)) {
	b.t.Helper()
	image, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(payloadArchive(b.t))), nil }, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	file := mustConfig(b.t, image).DeepCopy()
	change(&file.Config)
	if image, err = mutate.ConfigFile(image, file); err != nil {
		b.t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		b.t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := tarball.Write(tag, image, &archive); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.Import(b.t.Context(), &archive, ""); err != nil {
		b.t.Fatal(err)
	}
}

// once runs a container to its end and closes it, but does not remove it.
func (b *box) once(id string, s *entroosv1.WorkloadSpec) string {
	b.t.Helper()
	w, err := b.Resolve(s)
	if err != nil {
		b.t.Fatal(err)
	}
	var out bytes.Buffer
	c, err := b.Create(b.t.Context(), id, w, runtime.IO{Stdout: &out})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := c.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	if r := result(b.t, c); r.ExitCode != 0 {
		b.t.Errorf("%+v", r)
	}
	if err := c.Close(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return out.String()
}

func TestVolumeContent(t *testing.T) {
	b := newBox(t)
	mount := func(source string, args ...string) *entroosv1.WorkloadSpec {
		s := spec(args...)
		s.Mounts = []*entroosv1.VolumeMount{{Source: source, Target: "/home/worker"}}
		return s
	}
	// A new volume begins with what the image has there, as the image has it.
	if got := b.mustRun(mount("home", "stat", "/home/worker", "/home/worker/own")); got != "/home/worker 1000:1000 40700\n/home/worker/own 1000:1000 100600\n" {
		t.Errorf("in the volume there are\n%s", got)
	}
	if got := command(t, "/bin/payload", "stat", b.config.Volumes+"/home/own"); !strings.HasSuffix(got, " 1000:1000 100600\n") {
		t.Errorf("on the box it is %q", got)
	}
	// One with something in it is left as it is; an empty one is filled.
	b.once(b.id(), mount("once", "write", "/home/worker/own", "changed"))
	if got := b.once(b.id(), mount("once", "cat", "/home/worker/own")); got != "changed\n" {
		t.Errorf("the volume was filled again: %q", got)
	}
	b.once(b.id(), mount("once", "delete", "/home/worker/own"))
	if got := b.once(b.id(), mount("once", "list", "/home/worker")); got != "own\n" {
		t.Errorf("an empty volume was not filled: %q", got)
	}
	// But not under a container that has it.
	holder := b.start(mount("held", "wait"), runtime.IO{})
	b.mustRun(mount("held", "delete", "/home/worker/own"))
	if got := b.mustRun(mount("held", "list", "/home/worker")); got != "" {
		t.Errorf("a volume was filled under a container: %q", got)
	}
	if err := holder.Kill(t.Context(), int(unix.SIGKILL)); err != nil {
		t.Error(err)
	}
	// A folder by its path is what it is.
	if got := b.mustRun(mount(b.config.Volumes+"/by-path", "list", "/home/worker")); got != "" {
		t.Errorf("a folder was filled: %q", got)
	}
	if left, err := filepath.Glob(b.config.Volumes + "/.new-*"); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestAnonymousVolumes(t *testing.T) {
	b := newBox(t)
	b.importChanged("declares:1", func(c *v1.Config) { c.Volumes = map[string]struct{}{"/home/worker": {}, "/new/data": {}} })
	s := spec("list", "/home/worker")
	s.Image = "declares:1"
	w, err := b.Resolve(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Mounts) != 2 || w.Mounts[0] != (runtime.Mount{Target: "/home/worker"}) {
		t.Errorf("%+v", w.Mounts)
	}
	if got := b.mustRun(s); got != "own\n" {
		t.Errorf("an image's volume begins with %q", got)
	}
	// It stays with its container, and is nobody else's.
	id := b.id()
	run := func(args ...string) string {
		s := spec(args...)
		s.Image = "declares:1"
		return b.once(id, s)
	}
	run("write", "/new/data/file", "mine")
	if got := run("cat", "/new/data/file"); got != "mine\n" {
		t.Errorf("%q", got)
	}
	s.Args = []string{"list", "/new/data"}
	if got := b.mustRun(s); got != "" {
		t.Errorf("another container sees %q", got)
	}
	if err := b.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(b.config.Containers, id)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its volumes are left: %v", err)
	}
	// A declared workload's next container has them.
	s.Declared, s.Name, s.Args = true, "declared", []string{"write", "/new/data/kept", "kept"}
	b.mustRun(s)
	s.Args = []string{"cat", "/new/data/kept"}
	if got := b.mustRun(s); got != "kept\n" {
		t.Errorf("the container in its place sees %q", got)
	}
	s.Declared, s.Name = false, ""
	// What the spec mounts there is in its place.
	s.Mounts, s.Args = []*entroosv1.VolumeMount{{Source: "named", Target: "/new/data"}}, []string{"write", "/new/data/x", "y"}
	b.mustRun(s)
	if _, err := os.Stat(b.config.Volumes + "/named/x"); err != nil {
		t.Error(err)
	}
}

// TestDeepFolders has a container make folders deeper than any path is.
func TestDeepFolders(t *testing.T) {
	b := newBox(t)
	id := b.id()
	w, err := b.Resolve(spec("nest", "/tmp", "2500"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Create(t.Context(), id, w, runtime.IO{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := result(t, c); r.ExitCode != 0 {
		t.Errorf("%+v", r)
	}
	if err := errors.Join(c.Close(t.Context()), b.Remove(t.Context(), id)); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(b.config.Containers); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func freeBytes(t *testing.T) (all, available int64) {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs("/perm", &s); err != nil {
		t.Fatal(err)
	}
	free, err := space.Available("/perm")
	if err != nil {
		t.Fatal(err)
	}
	return int64(s.Bfree) * s.Bsize, free.Bytes
}

// TestFullDisk has a container fill the data partition.
func TestFullDisk(t *testing.T) {
	b := newBox(t)
	_, available := freeBytes(t)
	ballast, err := os.Create("/perm/ballast")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(ballast.Name())
	if err := unix.Fallocate(int(ballast.Fd()), 0, 0, available-40<<20); err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	ready := b.create(b.id(), spec("flood", fmt.Sprint(4<<20)), runtime.IO{}) // made while there is room

	filler := b.id()
	w, err := b.Resolve(spec("fill", "/file"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c, err := b.Create(t.Context(), filler, w, runtime.IO{Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := result(t, c); r.ExitCode != 0 || !strings.HasPrefix(out.String(), "full after ") {
		t.Errorf("%+v: %s", r, out.String())
	}
	all, available := freeBytes(t)
	t.Logf("%safter a container has filled the disk, %d MiB are free, of which %d MiB for more containers", out.String(), all>>20, available>>20)
	if all < 32<<20 {
		t.Errorf("a container leaves the box %d MiB", all>>20)
	}

	// What cannot be done says so, with the way out, and leaves nothing.
	_, err = b.Import(t.Context(), bytes.NewReader(payloadArchive(t)), "")
	if !errors.Is(err, oci.ErrNoSpace) || !strings.Contains(err.Error(), "images prune") {
		t.Errorf("an import on a full disk: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Join(b.config.Images, "staging")); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
	id := b.id()
	if w, err = b.Resolve(spec()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(t.Context(), id, w, runtime.IO{}); !errors.Is(err, space.ErrFull) {
		t.Errorf("a new container on a full disk: %v", err)
	}
	for _, dir := range []string{b.config.Containers, b.config.Run + "/bundles"} {
		if _, err := os.Lstat(filepath.Join(dir, id)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s has something of it: %v", dir, err)
		}
	}
	// What was made runs, and its output is digested, though it is not logged.
	if err := ready.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := result(t, ready); r.ExitCode != 0 || !errors.Is(r.Err, space.ErrFull) {
		t.Errorf("%+v", r)
	}
	after, _ := freeBytes(t)
	if after < all-1<<20 {
		t.Errorf("%d bytes of the reserve were used", all-after)
	}
	// The way out leads out.
	if err := errors.Join(c.Close(t.Context()), b.Remove(t.Context(), filler)); err != nil {
		t.Fatal(err)
	}
	b.mustRun(spec())
}

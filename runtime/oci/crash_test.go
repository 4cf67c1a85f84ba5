//go:build linux && amd64

package oci_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/runtime/oci"
)

// TestKillAtEachWrite has a process of its own import an image that shares a
// layer with one that is there, remove that one, and import two at once; it
// kills the process right before its n-th change of a file, for each n. Then
// each image is there with all its files, or not at all; of what is not,
// Recover leaves nothing; and the same again has the same outcome as without
// the kill. With -short, some of the n are tried.
func TestKillAtEachWrite(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("unpacking layers takes root")
	}
	dir := t.TempDir()
	shared := layerOf(t, folder("etc/"), file("etc/motd", "hello"), link(tar.TypeSymlink, "l", "etc"), link(tar.TypeLink, "etc/hard", "etc/motd"))
	archives := map[string][]byte{
		"old": archiveOf(t, imageOf(t, shared, layerOf(t, file("old", "old"))), "old"),
		"new": archiveOf(t, imageOf(t, shared, layerOf(t, file("new", "new"), file("etc/.wh.motd", ""), folder("opq/"), file("opq/.wh..wh..opq", ""))), "new"),
	}
	for name, raw := range archives {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// prepare gives a folder with the store as it is before.
	prepare := func(t *testing.T) string {
		home := t.TempDir()
		if err := os.Mkdir(filepath.Join(home, "images"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := runTraced(0, home, "import", filepath.Join(dir, "old")); errors.Is(err, errNotTraced) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		return home
	}
	steps := []string{"import", filepath.Join(dir, "new"), "remove", "old"}
	home := prepare(t)
	total, err := runTraced(0, append([]string{home}, steps...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d changes of files", total)
	if total < 40 {
		t.Fatalf("only %d changes of files seen", total)
	}
	want := wholeStore(t, home)
	step := 1
	if testing.Short() {
		step = 7
	}
	seen := make(map[string]int)
	for n := 1; n <= total; n += step {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			home := prepare(t)
			if _, err := runTraced(n, append([]string{home}, steps...)...); err != nil {
				t.Fatal(err)
			}
			after := wholeStore(t, home)
			seen[strings.Join(after.names, " ")]++
			if _, err := runTraced(0, home, "import", filepath.Join(dir, "new")); err != nil {
				t.Fatal(err)
			}
			if slices.Contains(after.names, "old:latest") {
				if _, err := runTraced(0, home, "remove", "old"); err != nil {
					t.Fatal(err)
				}
			}
			if again := wholeStore(t, home); !slices.Equal(again.files, want.files) {
				t.Errorf("%v\nnot\n%v", again.files, want.files)
			}
		})
	}
	if step == 1 && len(seen) != 3 {
		t.Errorf("of the moments before, between and after the changes only these were seen: %v", seen)
	}
}

// contents is what is in a store.
type contents struct{ names, files []string }

// wholeStore opens a store as after a power cut, and checks that all that is in
// it is whole and that there is nothing else.
func wholeStore(t testing.TB, home string) contents {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(home, "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := oci.Open(filepath.Join(home, "images"), db)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Recover(); err != nil {
		t.Fatal(err)
	}
	images, err := s.Images()
	if err != nil {
		t.Fatal(err)
	}
	var c contents
	used := make(map[string]bool)
	for _, image := range images {
		if len(image.References) != 1 {
			t.Fatalf("an image has the names %v", image.References)
		}
		c.names = append(c.names, image.References[0])
		own := strings.TrimSuffix(image.References[0], ":latest")
		layers := oci.Layers(s.Lowers(image))
		for _, l := range layers {
			used[filepath.Base(l)] = true
		}
		checks := map[string]string{own: own, "l/hard": "hello"}
		if own == "old" {
			checks["etc/motd"] = "hello"
		} else if _, _, err := layers.Lookup("etc/motd"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a whiteout is missing: %v", err)
		}
		for name, content := range checks {
			if got, err := layers.ReadFile(name, 100); err != nil || string(got) != content {
				t.Errorf("%s of %s: %q, %v", name, own, got, err)
			}
		}
	}
	slices.Sort(c.names)
	c.files = folderContents(t, filepath.Join(home, "images"))
	for _, name := range c.files {
		if l, ok := strings.CutPrefix(name, "layers/"); ok && !used[strings.Split(strings.Fields(l)[0], "/")[0]] {
			t.Errorf("no image has the layer %s", name)
		}
		if strings.HasPrefix(name, "staging/") {
			t.Errorf("%s is left", name)
		}
	}
	return c
}

// folderContents lists what is below dir: names, modes, sizes.
func folderContents(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size := int64(0)
		if info.Mode().IsRegular() {
			size = info.Size()
		}
		name, err := filepath.Rel(dir, path)
		all = append(all, fmt.Sprintf("%s %v %d", name, info.Mode(), size))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

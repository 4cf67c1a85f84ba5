package qemu

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// writeInitramfs makes the guest's root: the test binary as /init, and what the
// tests ask for. What is built on the way is put into dir.
func (g *GuestTests) writeInitramfs(ctx context.Context, dir, output string) error {
	tests := filepath.Join(dir, "init")
	if err := goBuild(ctx, "CGO_ENABLED=0", "test", "-c", "-tags", "guest", "-ldflags", "-s -w", "-o", tests, g.Package); err != nil {
		return err
	}
	if _, err := os.Stat(tests); err != nil {
		return fmt.Errorf("%s has no tests with the tag guest: %w", g.Package, err)
	}
	files := map[string]string{"/init": tests} // by path in the guest
	for guest, pkg := range g.Programs {
		built := filepath.Join(dir, "program-"+path.Base(guest))
		if err := goBuild(ctx, "CGO_ENABLED=0", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", built, pkg); err != nil {
			return err
		}
		files[guest] = built
	}
	if g.Runc {
		runc, err := buildRunc(ctx)
		if err != nil {
			return err
		}
		files["/bin/runc"] = runc
	}
	return writeCPIO(output, files)
}

func writeCPIO(output string, files map[string]string) (err error) {
	f, err := os.Create(output)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(f)
	defer func() { err = errors.Join(err, buffered.Flush(), f.Close()) }()
	w := cpio.Newc.Writer(buffered)
	for _, d := range guestFolders(files) {
		if err := w.WriteRecord(cpio.Directory(d, 0o755)); err != nil {
			return err
		}
	}
	// The kernel gives PID 1 its console before /dev is mounted.
	if err := w.WriteRecord(cpio.CharDev("dev/console", 0o600, 5, 1)); err != nil {
		return err
	}
	for guest, host := range files {
		content, err := os.ReadFile(host)
		if err != nil {
			return err
		}
		if err := w.WriteRecord(cpio.StaticFile(strings.TrimPrefix(guest, "/"), string(content), 0o755)); err != nil {
			return err
		}
	}
	return cpio.WriteTrailer(w)
}

// guestFolders are those that GuestMain mounts on, and those of files, parents
// first.
func guestFolders(files map[string]string) []string {
	var folders []string
	for _, m := range guestMounts {
		folders = append(folders, m.target[1:])
	}
	folders = append(folders, "bin", "etc", "perm")
	for guest := range files {
		for d := path.Dir(guest); d != "/"; d = path.Dir(d) {
			folders = append(folders, d[1:])
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

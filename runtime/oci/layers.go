package oci

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Layers are the directories of an image's layers, the topmost first. They
// are looked at as overlayfs would show them, without being mounted.
type Layers []string

// Lookup gives where name's file lies, and what it is. Symbolic links are
// followed within the image: none leads out of it.
func (l Layers) Lookup(name string) (path string, info fs.FileInfo, err error) {
	pending := components(name)
	stack := [][]string{l} // the merged directories from the root to here
	links := 0
	for len(pending) > 0 {
		c := pending[0]
		pending = pending[1:]
		if c == ".." {
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
			}
			continue
		}
		dirs, file, info, err := lookupIn(stack[len(stack)-1], c)
		switch {
		case err != nil:
			return "", nil, fmt.Errorf("%s: %w", name, err)
		case dirs != nil:
			stack = append(stack, dirs)
		case info.Mode().Type() == fs.ModeSymlink:
			if links++; links > maxLinks {
				return "", nil, fmt.Errorf("%s: %w", name, syscall.ELOOP)
			}
			target, err := os.Readlink(file)
			if err != nil {
				return "", nil, err
			}
			if strings.HasPrefix(target, "/") {
				stack = stack[:1]
			}
			pending = append(components(target), pending...)
		case len(pending) > 0:
			return "", nil, fmt.Errorf("%s: %w", name, syscall.ENOTDIR)
		default:
			return file, info, nil
		}
	}
	dirs := stack[len(stack)-1]
	if len(dirs) == 0 {
		return "", nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	info, err = os.Lstat(dirs[0])
	return dirs[0], info, err
}

// lookupIn finds a name in directories that are merged, the topmost first: as
// the merged directories below, or as a file that is none.
func lookupIn(parents []string, name string) (dirs []string, file string, info fs.FileInfo, err error) {
	for _, p := range parents {
		path := filepath.Join(p, name)
		fi, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, "", nil, err
		}
		if isWhiteout(fi) {
			break
		}
		if !fi.IsDir() {
			if dirs == nil {
				return nil, path, fi, nil
			}
			break
		}
		dirs = append(dirs, path)
		if isOpaque(path) {
			break
		}
	}
	if dirs == nil {
		return nil, "", nil, fs.ErrNotExist
	}
	return dirs, "", nil, nil
}

// ReadFile gives the content of a regular file of at most limit bytes.
func (l Layers) ReadFile(name string, limit int64) ([]byte, error) {
	path, info, err := l.Lookup(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, limit)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

func components(name string) []string {
	var parts []string
	for p := range strings.SplitSeq(name, "/") {
		if p != "" && p != "." {
			parts = append(parts, p)
		}
	}
	return parts
}

func isWhiteout(fi fs.FileInfo) bool {
	return fi.Mode().Type() == fs.ModeDevice|fs.ModeCharDevice && fi.Sys().(*syscall.Stat_t).Rdev == 0
}

func isOpaque(dir string) bool {
	value := make([]byte, 1)
	n, err := unix.Lgetxattr(dir, opaqueAttribute, value)
	return err == nil && n == 1 && value[0] == 'y'
}

// Package hosttool finds the programs and files of the build machine that the
// kernel and image builds call. When one is missing, the error names the Debian
// package that carries it.
package hosttool

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// packages tells which Debian package carries a program, or a file given by
// its absolute path.
var packages = map[string]string{
	"apt-get":    "apt",
	"bc":         "bc",
	"bison":      "bison",
	"dpkg-deb":   "dpkg",
	"flex":       "flex",
	"gcc":        "gcc",
	"go":         "golang-go (or https://go.dev/dl)",
	"ld":         "binutils",
	"make":       "make",
	"mcopy":      "mtools",
	"mke2fs":     "e2fsprogs",
	"mkfs.vfat":  "dosfstools",
	"mksquashfs": "squashfs-tools",
	"mmd":        "mtools",
	"objcopy":    "binutils",
	"perl":       "perl",
	"sgdisk":     "gdisk",
	"tar":        "tar",
	"xz":         "xz-utils",
	"zstd":       "zstd",

	"/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
	"/etc/ssl/certs/ca-certificates.crt":             "ca-certificates",
	"/sbin/e2fsck.static":                            "e2fsck-static",
	"/usr/include/gelf.h":                            "libelf-dev",
	"/usr/include/seccomp.h":                         "libseccomp-dev",
	"/usr/lib/systemd/boot/efi/linuxx64.efi.stub":    "systemd-boot-efi",
	"/usr/lib/systemd/boot/efi/systemd-bootx64.efi":  "systemd-boot-efi",
	"/usr/src/linux-source-6.12.tar.xz":              "linux-source-6.12",
}

// MissingError lists what the build machine lacks.
type MissingError struct {
	// Names are the programs or files that were not found.
	Names []string
}

// Error names each missing program or file, and the packages to install.
func (e *MissingError) Error() string {
	var unknown []string
	wanted := map[string]bool{}
	for _, name := range e.Names {
		if pkg := packages[name]; pkg != "" {
			wanted[pkg] = true
		} else {
			unknown = append(unknown, name)
		}
	}
	install := make([]string, 0, len(wanted))
	for pkg := range wanted {
		install = append(install, pkg)
	}
	sort.Strings(install)
	text := "not found: " + strings.Join(e.Names, ", ")
	if len(install) > 0 {
		text += "; install the Debian packages: apt-get install " + strings.Join(install, " ")
	}
	if len(unknown) > 0 {
		text += "; no Debian package is known for " + strings.Join(unknown, ", ")
	}
	return text
}

// Look returns the absolute path of a program, or of a file given by its
// absolute path. Administrators' folders are searched too: mkfs and sgdisk
// lie in /sbin, which is not on every user's PATH. The error is a
// *MissingError when there is none.
func Look(name string) (string, error) {
	if filepath.IsAbs(name) {
		_, err := os.Stat(name)
		if errors.Is(err, os.ErrNotExist) {
			return "", &MissingError{Names: []string{name}}
		}
		if err != nil {
			return "", fmt.Errorf("looking for a file of the build machine: %w", err)
		}
		return name, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	for _, folder := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path, nil
		}
	}
	return "", &MissingError{Names: []string{name}}
}

// Require checks for several at once, so that one error lists all that is
// missing: a *MissingError.
func Require(names ...string) error {
	var absent []string
	for _, name := range names {
		_, err := Look(name)
		var missing *MissingError
		switch {
		case errors.As(err, &missing):
			absent = append(absent, name)
		case err != nil:
			return err
		}
	}
	if len(absent) > 0 {
		return &MissingError{Names: absent}
	}
	return nil
}

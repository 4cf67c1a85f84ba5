// Package debian brings in what the image takes from Debian: files of packages
// that the build machine has installed, and packages fetched from Debian's
// archive without installing them.
package debian

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Package names a binary package and the source package it was built from.
type Package struct {
	Name, Version, Architecture string
	Source, SourceVersion       string
	// SHA256 of the .deb in hexadecimal; empty for an installed package.
	SHA256 string
}

// ErrUnknown says that no installed package owns a file, or that this machine
// is not a Debian.
var ErrUnknown = errors.New("no installed Debian package owns it")

// Owner is the installed package that a file of this machine belongs to. The
// error is ErrUnknown when there is none.
func Owner(ctx context.Context, path string) (Package, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Package{}, err
	}
	// Where /lib is a link to /usr/lib, the package may know the file by either.
	candidates := []string{path, resolved}
	if short, found := strings.CutPrefix(resolved, "/usr"); found {
		candidates = append(candidates, short)
	}
	for _, candidate := range candidates {
		output, err := exec.CommandContext(ctx, "dpkg-query", "--search", candidate).Output()
		if err != nil {
			var exit *exec.ExitError
			if errors.Is(err, exec.ErrNotFound) || errors.As(err, &exit) && exit.ExitCode() == 1 {
				continue
			}
			return Package{}, fmt.Errorf("dpkg-query --search %s: %w", candidate, err)
		}
		if name := firstOwner(string(output)); name != "" {
			return Installed(ctx, name)
		}
	}
	return Package{}, fmt.Errorf("%s: %w", path, ErrUnknown)
}

// firstOwner is the first package that dpkg-query --search says has a file:
// several may share one, and a diversion is no owner. It is empty for none.
func firstOwner(output string) string {
	for line := range strings.Lines(output) {
		names, _, found := strings.Cut(line, ": ")
		name, _, _ := strings.Cut(names, ", ")
		if found && !strings.Contains(name, " ") {
			return name
		}
	}
	return ""
}

// Installed describes an installed package. The error is ErrUnknown when it is
// not installed.
func Installed(ctx context.Context, name string) (Package, error) {
	const format = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n"
	output, err := exec.CommandContext(ctx, "dpkg-query", "--show", "--showformat", format, name).Output()
	if err != nil {
		return Package{}, fmt.Errorf("the package %s: %w", name, ErrUnknown)
	}
	fields := strings.Split(strings.TrimRight(string(output), "\n"), "\t")
	if len(fields) != 6 || fields[0] != "installed" {
		return Package{}, fmt.Errorf("the package %s: %w", name, ErrUnknown)
	}
	return Package{Name: fields[1], Version: fields[2], Architecture: fields[3], Source: fields[4], SourceVersion: fields[5]}, nil
}

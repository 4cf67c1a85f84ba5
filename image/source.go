package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// module is EntroOS's module path.
const module = "github.com/entroos/entroos"

// FindSource returns the folder of EntroOS's go.mod: the folder given, or the
// nearest one above it.
func FindSource(folder string) (string, error) {
	start, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	for folder := start; ; folder = filepath.Dir(folder) {
		data, err := os.ReadFile(filepath.Join(folder, "go.mod"))
		if err == nil && modfile.ModulePath(data) == module {
			return folder, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if folder == filepath.Dir(folder) {
			return "", fmt.Errorf("%s is not in a checkout of EntroOS: images are built from its source (module %s)", start, module)
		}
	}
}

// ReadVersion returns the version in the checkout's file VERSION.
func ReadVersion(source string) (string, error) {
	data, err := os.ReadFile(filepath.Join(source, "VERSION"))
	if err != nil {
		return "", fmt.Errorf("reading EntroOS's version: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

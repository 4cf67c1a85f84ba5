package plots

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Write writes the pictures into a folder, NAME.svg and NAME.png each, and
// returns their paths. The folder is made if it is not there. All files are
// written before the first takes its name: an error leaves none half written.
func Write(folder string, pictures []Picture) (paths []string, err error) {
	made := false
	switch info, err := os.Stat(folder); {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(folder, 0o755); err != nil {
			return nil, fmt.Errorf("the pictures' folder cannot be made: %w", err)
		}
		made = true
	case err != nil:
		return nil, fmt.Errorf("the pictures' folder: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("the pictures' folder: %s is a file", folder)
	}
	defer func() {
		if err != nil && made {
			err = errors.Join(err, os.RemoveAll(folder)) // nothing but ours is in it
		}
	}()
	var pending []*renameio.PendingFile
	defer func() { // before the above: last deferred, first called
		for _, f := range pending {
			err = errors.Join(err, f.Cleanup()) // of those that took their name, nothing
		}
	}()
	for _, p := range pictures {
		for _, form := range []struct {
			ending string
			bytes  []byte
		}{{".svg", p.SVG}, {".png", p.PNG}} {
			path := filepath.Join(folder, p.Name+form.ending)
			if info, err := os.Lstat(path); err == nil && info.IsDir() {
				return nil, fmt.Errorf("%s is a folder: a picture cannot be written there", path)
			}
			f, err := renameio.NewPendingFile(path, renameio.WithTempDir(folder), renameio.WithPermissions(0o644))
			if err != nil {
				return nil, err
			}
			pending = append(pending, f)
			if _, err := f.Write(form.bytes); err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
	}
	for _, f := range pending {
		if err := f.CloseAtomicallyReplace(); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

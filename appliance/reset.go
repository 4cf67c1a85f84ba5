package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/appliance/blockdev"
)

const (
	// dataTemplate is a fresh data file system on the root, compressed.
	dataTemplate = "/usr/share/entroos/data.ext4.zst"
	// templateSize is its size, in bytes.
	templateSize = 256 << 20

	// resetRequest is a file on the data partition: what to begin anew at the
	// next boot, before anything there is opened. Its text is what volumes
	// and the folder below are.
	resetRequest = ".reset"
	resetAll     = "all"
	resetRecords = "records" // and a folder's name: what is kept goes there
	keptPrefix   = "damaged-"
)

// makeData makes a new, empty data file system on a partition that is not
// mounted. Cut off in the middle it leaves one that cannot be mounted.
func makeData(ctx context.Context, device string) error {
	target, err := blockdev.OpenExclusive(device)
	if err != nil {
		return err
	}
	defer target.Close()
	part, err := openTemplate()
	if err != nil {
		return err
	}
	defer part.Close()
	if target.Bytes < templateSize {
		return fmt.Errorf("%s has %d MiB, a data partition needs %d", device, target.Bytes>>20, templateSize>>20)
	}
	copier := &blockdev.Copier{Target: target}
	if err := copier.Copy(ctx, part.Part); err != nil {
		return err
	}
	return copier.Verify(ctx)
}

// template is a fresh data file system that is being unpacked.
type template struct {
	blockdev.Part
	file   *os.File
	reader *zstd.Decoder
}

// openTemplate gives a fresh data file system, with a UUID of its own, for the
// beginning of a disk.
func openTemplate() (*template, error) {
	f, err := os.Open(dataTemplate)
	if err != nil {
		return nil, err
	}
	// One goroutine and one window: the box has little memory.
	r, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", dataTemplate, err)
	}
	return &template{file: f, reader: r, Part: blockdev.Part{
		Name: "the data partition", Size: templateSize, Content: r, Change: blockdev.Ext4Change(uuid.New()),
	}}, nil
}

// Close ends the unpacking.
func (t *template) Close() {
	t.reader.Close()
	_ = t.file.Close() // it was only read
}

// requestReset has the next boot begin anew what is on the mounted data
// partition; with keepVolumes, all but the volumes.
func requestReset(folder string, keepVolumes bool, now time.Time) error {
	text := resetAll
	if keepVolumes {
		text = resetRecords + " " + keptPrefix + now.UTC().Format("20060102T150405Z")
	}
	path := filepath.Join(folder, resetRequest)
	// Whole or not at all.
	if err := writeSynced(path+".new", text+"\n"); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncFolder(folder)
}

// takeReset does what requestReset asked for. Cut off at any point, it is done by
// the next boot: the request goes last.
func takeReset(folder string) error {
	request := filepath.Join(folder, resetRequest)
	text, err := os.ReadFile(request)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	what, kept, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	keep := map[string]bool{resetRequest: true, "lost+found": true}
	switch {
	case what == resetAll && kept == "":
	case what == resetRecords && strings.HasPrefix(kept, keptPrefix) && kept == filepath.Base(kept):
		keep["volumes"], keep[kept] = true, true
		if err := setAside(folder, kept); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s asks for %q, which is not known here", request, text)
	}
	slog.Warn("the data partition begins anew", "what", what, "kept in", kept)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !keep[e.Name()] {
			if err := os.RemoveAll(filepath.Join(folder, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := syncFolder(folder); err != nil {
		return err
	}
	if err := os.Remove(request); err != nil {
		return err
	}
	return syncFolder(folder)
}

// setAside moves the damaged records and the ledger, which are evidence, into a
// folder of their own.
func setAside(folder, kept string) error {
	if err := os.Mkdir(filepath.Join(folder, kept), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range []string{"entroos.db", "ledger"} {
		err := os.Rename(filepath.Join(folder, name), filepath.Join(folder, kept, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncFolder(folder)
}

func writeSynced(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncFolder has names and renames in a folder, and all else on its file system,
// on the medium.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

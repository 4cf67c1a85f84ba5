package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
	// trashPrefix begins the name of what is to be deleted.
	trashPrefix = ".trash-"
)

// makeData makes a new, empty data file system on a partition that is not
// mounted.
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
	return putData(ctx, target, part.Part)
}

// headSize is how much of a file system is written last, in bytes: its
// superblock is there.
const headSize = 1 << 20

// putData writes a file system in such an order that, cut off at any point, what
// is there cannot be mounted: neither the old one nor a mixture.
func putData(ctx context.Context, target blockdev.Target, part blockdev.Part) error {
	head := make([]byte, headSize)
	if _, err := target.WriteAt(head, part.Offset); err != nil {
		return fmt.Errorf("erasing %s: %w", part.Name, err)
	}
	if err := target.Sync(); err != nil {
		return fmt.Errorf("erasing %s: %w", part.Name, err)
	}
	if _, err := io.ReadFull(part.Content, head); err != nil {
		return fmt.Errorf("%s: %w", part.Name, err)
	}
	first, rest := part, part
	first.Size, first.Content = headSize, bytes.NewReader(head)
	rest.Offset, rest.Size = part.Offset+headSize, part.Size-headSize
	rest.Change = func(offset int64, chunk []byte) error { return part.Change(headSize+offset, chunk) }
	copier := &blockdev.Copier{Target: target}
	if err := copier.Copy(ctx, rest, first); err != nil {
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
// the next boot: the request goes last. What is begun anew is only moved out of
// the way before that, so that a disk that cannot delete does not have every boot
// begin anew; deleting it may fail, and each boot tries again.
func takeReset(folder string) error {
	err := moveAway(folder)
	if terr := emptyTrash(folder); terr != nil {
		slog.Warn("what `data reset` took away still takes room; the next boot tries again", "error", terr)
	}
	return err
}

// moveAway does what was asked for, but for the deleting.
func moveAway(folder string) error {
	request := filepath.Join(folder, resetRequest)
	text, err := os.ReadFile(request)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	what, kept, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	keep := func(name string) bool {
		return name == resetRequest || name == "lost+found" || strings.HasPrefix(name, trashPrefix)
	}
	switch {
	case what == resetAll && kept == "":
	case what == resetRecords && strings.HasPrefix(kept, keptPrefix) && kept == filepath.Base(kept):
		always := keep
		// What earlier ones kept is evidence, too.
		keep = func(name string) bool {
			return always(name) || name == "volumes" || strings.HasPrefix(name, keptPrefix)
		}
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
	trash, err := os.MkdirTemp(folder, trashPrefix)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if keep(e.Name()) {
			continue
		}
		if err := os.Rename(filepath.Join(folder, e.Name()), filepath.Join(trash, e.Name())); err != nil {
			return err
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

// emptyTrash deletes what was moved out of the way, as far as it can.
func emptyTrash(folder string) error {
	trash, err := filepath.Glob(filepath.Join(folder, trashPrefix+"*"))
	for _, path := range trash {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// setAside moves the damaged records and the ledger, which are evidence, into a
// folder of their own. What is there already stays: it was set aside by a boot
// that got no further, and what has its name now is younger.
func setAside(folder, kept string) error {
	if err := os.Mkdir(filepath.Join(folder, kept), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range []string{"entroos.db", "ledger"} {
		target := filepath.Join(folder, kept, name)
		if _, err := os.Lstat(target); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Rename(filepath.Join(folder, name), target); err != nil && !errors.Is(err, fs.ErrNotExist) {
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

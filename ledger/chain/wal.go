package chain

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// A walSweeper drops files of CometBFT's write-ahead log that recovery does not
// read: it needs those since the end of the block before the current one.
// CometBFT begins a new file at 10 MB, and would keep 1 GB of them.
type walSweeper struct {
	head   string
	logger *slog.Logger
	// seen maps a rotated file to the height at which it was first seen. Once
	// the block two above is done, its predecessor's end is in a newer file.
	seen map[string]int64
}

var rotatedFile = regexp.MustCompile(`\.(?:[0-9]{3,}|CORRUPTED)$`)

func newWALSweeper(head string, l *slog.Logger) *walSweeper {
	return &walSweeper{head: head, logger: l, seen: make(map[string]int64)}
}

// run sweeps after each block until quit is closed.
func (w *walSweeper) run(quit <-chan struct{}, nextBlock func() <-chan struct{}, height func() int64) {
	for {
		block := nextBlock()
		w.sweep(height())
		select {
		case <-quit:
			return
		case <-block:
		}
	}
}

// sweep drops what is not needed at a height: the oldest first, since CometBFT
// wants the numbers of those left to be consecutive.
func (w *walSweeper) sweep(height int64) {
	names, err := filepath.Glob(w.head + ".*")
	if err != nil {
		w.logger.Error("cannot list the write-ahead log", "err", err)
		return
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	for _, name := range names {
		if !rotatedFile.MatchString(name) {
			continue
		}
		first, ok := w.seen[name]
		if !ok {
			w.seen[name] = height
			continue
		}
		if height < first+2 {
			continue
		}
		if err := os.Remove(name); err != nil {
			w.logger.Error("cannot drop a rotated write-ahead log", "err", err)
			return
		}
		delete(w.seen, name)
	}
}

package chain

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// walSweep is how often rotated files of CometBFT's write-ahead log are
// looked for. CometBFT rotates at 10 MB.
const walSweep = 30 * time.Second

// A walSweeper drops files of the write-ahead log that recovery does not
// read: it needs those since the end of the block before the current one.
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

func (w *walSweeper) run(quit <-chan struct{}, height func() int64) {
	ticker := time.NewTicker(walSweep)
	defer ticker.Stop()
	for {
		select {
		case <-quit:
			return
		case <-ticker.C:
			w.sweep(height())
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

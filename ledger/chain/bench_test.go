package chain

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// BenchmarkReceipt commits receipts one at a time: each takes a block, and the
// block that proves it.
func BenchmarkReceipt(b *testing.B) { benchmarkReceipts(b, 1) }

// BenchmarkReceipts300 commits three hundred at a time.
func BenchmarkReceipts300(b *testing.B) { benchmarkReceipts(b, 300) }

// benchmarkReceipts reports, for each receipt:
//
//   - ns/op: the time until it is committed;
//   - fsync/receipt: writes forced to disk (fsync, fdatasync, or a file opened
//     O_SYNC), from the number of transactions and blocks;
//   - B/receipt: what stays on disk for good. It is measured with few blocks
//     kept, after as many were dropped, so that their pages are used again. A
//     receipt is in its block as well while that is kept;
//   - wal-B/receipt: what it adds to the write-ahead log, whose files are
//     dropped at 10 MB.
func benchmarkReceipts(b *testing.B, batch int) {
	writer := newTestNode(1)
	config := testConfig(b.TempDir(), writer.id())
	config.keep = 20
	n := openNode(b, config)
	commit := func() {
		var wg sync.WaitGroup
		for range batch {
			raw := writer.next(b)
			wg.Go(func() { mustCommit(b, n, raw) })
		}
		wg.Wait()
	}
	for status(b, n).Height < config.keep+2*pruneEvery {
		commit()
	}
	before, height, commits := measure(b, n), status(b, n).Height, n.file.Commits()
	written := 0
	for b.Loop() {
		commit()
		written += batch
		b.StopTimer()
		mustProve(b, n, fmt.Sprintf("#%d", writer.sequence)) // the next comes to an idle ledger
		b.StartTimer()
	}
	after := measure(b, n)
	blocks := float64(status(b, n).Height - height)
	receipts := float64(written)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/receipts, "ns/receipt")
	syncs := 2*float64(n.file.Commits()-commits) + (walSyncs+signatures)*blocks
	b.ReportMetric(syncs/receipts, "fsync/receipt")
	b.ReportMetric((after.database-before.database)/receipts, "B/receipt")
	if grown := after.log - before.log; grown > 0 { // else a file was dropped meanwhile
		b.ReportMetric(grown/receipts, "wal-B/receipt")
	}
	b.ReportMetric(receipts/blocks, "receipts/block")
}

// Per block CometBFT syncs its log before and after the proposal and each of
// two votes, and at the block's end; and the validator what it signs.
const (
	walSyncs   = 7
	signatures = 3
)

// usage is space taken on disk, in bytes.
type usage struct{ database, log float64 }

func measure(b *testing.B, n *Node) (u usage) {
	b.Helper()
	err := filepath.WalkDir(n.config.Home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		size := float64(info.Sys().(*syscall.Stat_t).Blocks * 512)
		if filepath.Base(filepath.Dir(path)) == walFolder {
			u.log += size
		} else {
			u.database += size
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return u
}

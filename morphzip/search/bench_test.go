package search

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/entroos/entroos/morphzip"
)

// benchmarkSize is how large the log is, in bytes: BENCH_SEARCH_MB sets it in MB.
// The contract is for 1000.
func benchmarkSize(b *testing.B) int {
	size := 64
	if s := os.Getenv("BENCH_SEARCH_MB"); s != "" {
		size = 0
		for _, c := range s {
			size = size*10 + int(c-'0')
		}
	}
	if size < 1 || size > 10000 {
		b.Fatal("BENCH_SEARCH_MB is a number of MB")
	}
	return size * 1000 * 1000
}

// BenchmarkSearch looks for rare strings in a large log, and reports how many
// times as quick as zstd -dc | grep it is. Nothing in the log repeats but words.
func BenchmarkSearch(b *testing.B) {
	dir := b.TempDir()
	plain, packed, zst := filepath.Join(dir, "log"), filepath.Join(dir, "log.mz"), filepath.Join(dir, "log.zst")
	rare := []string{"a sentence with a xylophone in it", "from 203.0.113.77 at last", "deadbeefcafe4711 was here"}
	writeLog(b, plain, packed, benchmarkSize(b), rare)
	if out, err := exec.Command("zstd", "-q", "-3", "-o", zst, plain).CombinedOutput(); err != nil {
		b.Skipf("zstd: %v: %s", err, out)
	}
	in, err := os.Open(packed)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	for name, needle := range map[string]string{"sentence": "xylophone in it", "address": "203.0.113.77 at", "hex": "deadbeefcafe4711"} {
		b.Run(name, func(b *testing.B) {
			var stats Stats
			lines := 0
			for b.Loop() {
				info, err := in.Stat()
				if err != nil {
					b.Fatal(err)
				}
				f, err := morphzip.Open(in, info.Size())
				if err != nil {
					b.Fatal(err)
				}
				lines = 0
				if stats, err = File(context.Background(), f, Literal(false, []byte(needle)), Options{}, func(Line) error { lines++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			ours := b.Elapsed() / time.Duration(b.N)
			start := time.Now()
			out, err := exec.Command("sh", "-c", `zstd -dc "$1" | LC_ALL=C grep -acF -e "$2"`, "sh", zst, needle).Output()
			peer := time.Since(start)
			if got := string(bytes.TrimSpace(out)); err != nil || lines == 0 || got != string(rune('0'+lines)) {
				b.Fatalf("%d lines; grep says %q, %v", lines, got, err)
			}
			b.ReportMetric(float64(peer)/float64(ours), "times-zstd|grep")
			b.ReportMetric(float64(stats.Skipped())/float64(stats.Blocks)*100, "%-skipped")
			b.ReportMetric(float64(stats.Bytes)/1e6/ours.Seconds(), "content-MB/s")
		})
	}
}

// writeLog makes a log with each rare line once, and its compressed file.
func writeLog(b *testing.B, plain, packed string, size int, rare []string) {
	out, err := os.Create(plain)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	file, err := os.Create(packed)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	w, err := morphzip.NewWriter(file, morphzip.Options{})
	if err != nil {
		b.Fatal(err)
	}
	both := io.MultiWriter(out, w)
	r := rand.New(rand.NewPCG(7, 7))
	for written := 0; written < size; {
		part := logLines(r, 10000)
		written += len(part)
		if written > size/2 && len(rare) > 0 {
			part = append(append(part, rare[0]...), '\n')
			rare = rare[1:]
		}
		if _, err := both.Write(part); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

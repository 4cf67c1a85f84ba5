package densest

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSamples reports the ratios over the files of a folder named by
// DENSEST_SAMPLES.
func TestSamples(t *testing.T) {
	folder := os.Getenv("DENSEST_SAMPLES")
	if folder == "" {
		t.Skip("DENSEST_SAMPLES names no folder")
	}
	files, err := filepath.Glob(folder)
	if err != nil {
		t.Fatal(err)
	}
	var in, out int
	var totals [8]float64
	names := []string{"id", "text", "time", "flag", "bytes", "marks"}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var cost [8]float64
		var count [8]int
		probe = &struct {
			tally func(bit, p int)
			kind  int
		}{}
		probe.tally = func(y, p int) {
			kind := probe.kind
			q := float64(p) / 65536
			if y == 0 {
				q = 1 - q
			}
			cost[kind] -= math.Log2(q) / 8
			count[kind]++
		}
		start := time.Now()
		z, ok := Encode(nil, b)
		took := time.Since(start)
		probe = nil
		if !ok {
			t.Fatalf("%s: not coded", f)
		}
		if os.Getenv("DENSEST_FAST") == "" {
			back, err := Decode(nil, z, len(b))
			if err != nil || !bytes.Equal(back, b) {
				t.Errorf("%s: %v", f, err)
			}
		}
		line := fmt.Sprintf("%-20s %7d %6d %.4f  %5.0f KB/s ", filepath.Base(f), len(b), len(z), float64(len(z))/float64(len(b)), float64(len(b))/1000/took.Seconds())
		for i, n := range names {
			line += fmt.Sprintf(" %s %.0f", n, cost[i])
			totals[i] += cost[i]
		}
		fmt.Println(line)
		in += len(b)
		out += len(z)
	}
	fmt.Printf("%-20s %7d %6d %.5f %.0f\n", "total", in, out, float64(out)/float64(in), totals[:6])
}

//go:build guest

package nko_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/nko/noise"
)

// TestNodeEntropyOfARealSource lets the monitor run as it does on a box.
func TestNodeEntropyOfARealSource(t *testing.T) {
	store, err := nko.OpenStore(filepath.Join(t.TempDir(), "entroos.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	walk := new(noise.MemoryWalk)
	m := noise.NewMonitor(walk, store, slog.Default())
	start := time.Now()
	serve(t, m.Serve)
	for assessed := false; !assessed; _, _, assessed = m.Entropy() {
		if time.Since(start) > 3*time.Minute {
			t.Fatal("no assessment within three minutes")
		}
		time.Sleep(100 * time.Millisecond)
	}
	e, healthy, _ := m.Entropy()
	t.Logf("E_n = %.3f after %v: %+v", e, time.Since(start).Round(time.Second), m.Facts())
	if !healthy || e <= 0.1 || e > 1 {
		t.Errorf("E_n = %v, healthy %v", e, healthy)
	}
	ref, ok, err := store.NoiseReference()
	if err != nil || !ok || ref != (noise.Reference{Source: walk.Name(), Entropy: e / 2}) {
		t.Errorf("reference %+v, %v, %v; want half of %v", ref, ok, err, e)
	}
}

// TestNoiseSampleIsCheap times what the later pace is made of.
func TestNoiseSampleIsCheap(t *testing.T) {
	walk := new(noise.MemoryWalk)
	samples := make([]byte, equations.ProportionWindow)
	walk.Read(samples) // calibrated
	best := time.Hour
	for range 10 {
		start := time.Now()
		walk.Read(samples)
		best = min(best, time.Since(start))
	}
	t.Logf("%d samples in %v", len(samples), best)
	if best > 100*time.Millisecond {
		t.Errorf("a burst takes %v", best)
	}
}

package noise

import (
	"log/slog"
	"testing"
)

// The noise of whatever this runs on: it is a machine, so there is some.
func TestMemoryWalkHasEntropy(t *testing.T) {
	m := NewMonitor(new(MemoryWalk), nil, slog.New(slog.DiscardHandler))
	gather(t, m, noon)
	e, healthy, _ := m.Entropy()
	t.Logf("E_n = %.3f; %+v", e, m.Facts())
	if e < 0.1 || !healthy {
		t.Errorf("E_n = %v, healthy %v", e, healthy)
	}
}

func TestTimerRuns(t *testing.T) {
	last := ticks()
	for range 1000 {
		var w MemoryWalk
		w.memory = make([]byte, walkSize)
		if w.walk() == 0 {
			t.Fatal("a walk takes no time")
		}
		now := ticks()
		if now <= last {
			t.Fatalf("the timer went from %d to %d", last, now)
		}
		last = now
	}
}

func TestUnit(t *testing.T) {
	for _, c := range [][3]uint64{{0, 0, 0}, {0, 7, 7}, {12, 18, 6}, {18, 12, 6}, {5, 7, 1}} {
		if got := divisor(c[0], c[1]); got != c[2] {
			t.Errorf("divisor(%d, %d) = %d", c[0], c[1], got)
		}
	}
}

// The walk comes by every cache line.
func TestWalkIsEverywhere(t *testing.T) {
	w := MemoryWalk{memory: make([]byte, walkSize)}
	for range walkSize / walkAccesses {
		w.walk()
	}
	for line := 0; line < walkSize; line += 64 {
		var touched bool
		for _, b := range w.memory[line : line+64] {
			touched = touched || b != 0
		}
		if !touched {
			t.Fatalf("the line at %d was not visited", line)
		}
	}
}

func BenchmarkMemoryWalk(b *testing.B) {
	var w MemoryWalk
	var samples [burst]byte
	for b.Loop() {
		w.Read(samples[:])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/burst, "ns/sample")
}

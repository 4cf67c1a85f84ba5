package noise

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

// source makes its samples by a function that can be exchanged.
type source struct {
	name string
	next atomic.Pointer[func() byte]
}

func newSource(next func() byte) *source {
	s := &source{name: "test"}
	s.set(next)
	return s
}

func (s *source) set(next func() byte) { s.next.Store(&next) }

func (s *source) Name() string { return s.name }

func (s *source) Read(samples []byte) {
	next := *s.next.Load()
	for i := range samples {
		samples[i] = next()
	}
}

// ones is a memoryless source of ones with the probability p.
func ones(p float64) func() byte {
	r := rand.New(rand.NewPCG(7, 11))
	return func() byte {
		if r.Float64() < p {
			return 1
		}
		return 0
	}
}

func constant() byte { return 1 }

func alternating() func() byte {
	var last byte
	return func() byte { last ^= 1; return last }
}

// kept is References in memory.
type kept struct {
	ref    Reference
	ok     bool
	broken error
	writes int
}

func (k *kept) NoiseReference() (Reference, bool, error) { return k.ref, k.ok, k.broken }

func (k *kept) SetNoiseReference(ref Reference) error {
	if k.broken != nil {
		return k.broken
	}
	k.ref, k.ok, k.writes = ref, true, k.writes+1
	return nil
}

// gather has a monitor take as many bursts as one assessment needs.
func gather(t *testing.T, m *Monitor, now time.Time) {
	t.Helper()
	for range Samples / burst {
		m.source.Read(m.samples[:])
		if err := m.take(m.samples[:], now); err != nil {
			t.Fatal(err)
		}
	}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestAssessments(t *testing.T) {
	for _, c := range []struct {
		name     string
		next     func() byte
		low, top float64 // of E_n
		healthy  bool
	}{
		{"good", ones(0.5), 0.95, 1, true},
		{"biased", ones(0.75), 0.39, 0.416, true}, // −log 0.75 = 0.415
		{"alternating", alternating(), 0, 0.01, true},
		{"constant", constant, 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			refs := &kept{}
			m := NewMonitor(newSource(c.next), refs, slog.New(slog.DiscardHandler))
			if e, healthy, assessed := m.Entropy(); e != 0 || healthy || assessed || m.Facts() != nil {
				t.Errorf("known before it began: %v, %v, %v", e, healthy, assessed)
			}
			gather(t, m, noon)
			e, healthy, assessed := m.Entropy()
			if e < c.low || e > c.top || healthy != c.healthy || !assessed {
				t.Errorf("E_n = %v, healthy %v, assessed %v", e, healthy, assessed)
			}
			f := m.Facts()
			if f == nil {
				t.Fatal("no facts")
			}
			if !c.healthy {
				if refs.ok || f.LongestRun < f.RepetitionCutoff || f.LargestCount < f.ProportionCutoff {
					t.Errorf("a source without entropy is a reference %v, or passes: %+v", refs.ok, f)
				}
				return
			}
			if f.Statistics.Samples() != Samples || f.Assessed != e || f.HealthEntropy != e/2 || refs.ref.Entropy != e/2 ||
				f.LongestRun >= f.RepetitionCutoff || f.LargestCount >= f.ProportionCutoff || f.LongestRun == 0 || f.LargestCount == 0 {
				t.Errorf("facts %+v, reference %+v", f, refs.ref)
			}
			if f.RepetitionCutoff != equations.RepetitionCutoff(e/2, equations.HealthAlpha) {
				t.Errorf("the cutoff is %d", f.RepetitionCutoff)
			}
		})
	}
}

func TestConstantSourceIsSeenAtOnceAndRecovers(t *testing.T) {
	refs := &kept{}
	s := newSource(ones(0.5))
	m := NewMonitor(s, refs, slog.New(slog.DiscardHandler))
	gather(t, m, noon)
	s.set(constant)
	s.Read(m.samples[:])
	if err := m.take(m.samples[:], noon); err != nil {
		t.Fatal(err)
	}
	if e, healthy, assessed := m.Entropy(); e != 0 || healthy || !assessed {
		t.Fatalf("one burst of ones: E_n = %v, healthy %v, assessed %v", e, healthy, assessed)
	}
	if f := m.Facts(); f.Healthy || f.LongestRun != f.RepetitionCutoff || f.Assessed != 0 || f.Entropy != 0 {
		t.Errorf("facts %+v", f)
	}
	s.set(ones(0.5))
	for range Samples/burst - 1 {
		s.Read(m.samples[:])
		if err := m.take(m.samples[:], noon); err != nil {
			t.Fatal(err)
		}
		if e, healthy, _ := m.Entropy(); e != 0 || healthy {
			t.Fatalf("E_n = %v before a full assessment", e)
		}
	}
	s.Read(m.samples[:])
	if err := m.take(m.samples[:], noon); err != nil {
		t.Fatal(err)
	}
	if e, healthy, _ := m.Entropy(); e < 0.95 || !healthy {
		t.Errorf("recovered to E_n = %v, healthy %v", e, healthy)
	}
	if f := m.Facts(); !f.Healthy || f.LongestRun >= f.RepetitionCutoff || m.Smoothing() != nil {
		t.Errorf("facts %+v, smoothing %+v", f, m.Smoothing())
	}
	if refs.writes != 1 {
		t.Errorf("the reference was written %d times", refs.writes)
	}
}

func TestReferenceStays(t *testing.T) {
	refs := &kept{}
	gather(t, NewMonitor(newSource(ones(0.5)), refs, slog.New(slog.DiscardHandler)), noon)
	first := refs.ref

	// At the next boot the source is worse, and measured against what it was.
	worse := NewMonitor(newSource(ones(0.97)), refs, slog.New(slog.DiscardHandler))
	if err := worse.load(); err != nil {
		t.Fatal(err)
	}
	gather(t, worse, noon)
	if e, healthy, _ := worse.Entropy(); e != 0 || healthy {
		t.Errorf("E_n = %v, healthy %v", e, healthy)
	}
	if refs.ref != first {
		t.Errorf("the reference became %+v", refs.ref)
	}

	// Another source has a reference of its own.
	other := newSource(ones(0.97))
	other.name = "another"
	m := NewMonitor(other, refs, slog.New(slog.DiscardHandler))
	if err := m.load(); err != nil {
		t.Fatal(err)
	}
	gather(t, m, noon)
	if e, healthy, _ := m.Entropy(); !healthy || e < 0.03 || e > 0.05 || refs.ref.Source != "another" {
		t.Errorf("E_n = %v, healthy %v, reference %+v", e, healthy, refs.ref)
	}
}

func TestReferencesThatFail(t *testing.T) {
	refs := &kept{broken: errors.New("bad sector")}
	m := NewMonitor(newSource(ones(0.5)), refs, slog.New(slog.DiscardHandler))
	if err := m.Serve(t.Context()); !errors.Is(err, refs.broken) {
		t.Errorf("served: %v", err)
	}
	var err error
	for range Samples / burst {
		m.source.Read(m.samples[:])
		if err = m.take(m.samples[:], noon); err != nil {
			break
		}
	}
	if _, healthy, _ := m.Entropy(); !errors.Is(err, refs.broken) || healthy {
		t.Errorf("%v; healthy %v", err, healthy)
	}
	refs.broken = nil
	gather(t, m, noon)
	if _, healthy, _ := m.Entropy(); !healthy || !refs.ok {
		t.Errorf("healthy %v, reference kept %v", healthy, refs.ok)
	}
}

func TestAssessmentsAreSmoothed(t *testing.T) {
	s := newSource(ones(0.5))
	m := NewMonitor(s, nil, slog.New(slog.DiscardHandler))
	gather(t, m, noon)
	before, _, _ := m.Entropy()
	s.set(ones(0.75))
	gather(t, m, noon.Add(halfLife))
	after, healthy, _ := m.Entropy()
	f := m.Facts()
	if want := (before + f.Assessed) / 2; !healthy || math.Abs(after-want) > 1e-12 || f.Assessed > 0.42 {
		t.Errorf("E_n = %v after a half-life, want %v", after, want)
	}
	if sm := m.Smoothing(); sm == nil || sm.Lambda != 0.5 || sm.Old != before || sm.Latest != f.Assessed || sm.Result != after {
		t.Errorf("smoothing %+v", m.Smoothing())
	}
	if f.Smoothing == nil || *f.Smoothing != *m.Smoothing() || f.Entropy != f.Smoothing.Result {
		t.Errorf("the facts have another smoothing: %+v", f.Smoothing)
	}
}

// Whatever the samples are, E_n is a share, and 0 when it is not healthy.
func TestEntropyIsAShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSource(ones(0.5))
		m := NewMonitor(s, nil, slog.New(slog.DiscardHandler))
		now := noon
		for _, p := range rapid.SliceOfN(rapid.Float64Range(0, 1), 1, 4).Draw(t, "p") {
			s.set(ones(p))
			for range rapid.IntRange(1, 2*Samples/burst).Draw(t, "bursts") {
				s.Read(m.samples[:])
				now = now.Add(time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "Δt")))
				if err := m.take(m.samples[:], now); err != nil {
					t.Fatal(err)
				}
				if e, healthy, _ := m.Entropy(); !(e >= 0 && e <= 1) || !healthy && e != 0 {
					t.Fatalf("E_n = %v, healthy %v", e, healthy)
				}
			}
		}
	})
}

// gathered is how many samples wait for their assessment.
func gathered(m *Monitor) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gathered.Samples()
}

// The first assessment is there within a minute of the start; then the source
// is left in peace, and still a failure is seen with the next burst.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(ones(0.5))
		m := NewMonitor(s, nil, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Serve(ctx) }()
		time.Sleep(startAfter - time.Millisecond)
		synctest.Wait()
		if n := gathered(m); n != 0 {
			t.Errorf("%d samples before the box has started", n)
		}
		time.Sleep(time.Minute - startAfter)
		synctest.Wait()
		if e, healthy, _ := m.Entropy(); !healthy || e < 0.95 {
			t.Errorf("E_n = %v, healthy %v after a minute", e, healthy)
		}
		before := gathered(m)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := gathered(m) - before; n > uint64(10*time.Minute/laterPause)*burst {
			t.Errorf("%d samples in ten minutes", n)
		}
		s.set(constant)
		time.Sleep(laterPause)
		synctest.Wait()
		if _, healthy, _ := m.Entropy(); healthy {
			t.Error("a constant source is healthy")
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestPauseIsAThousandfold(t *testing.T) {
	m := NewMonitor(newSource(ones(0.5)), nil, slog.New(slog.DiscardHandler))
	if got := m.pause(time.Second); got != time.Second {
		t.Errorf("after a second, at first: %v", got)
	}
	gather(t, m, noon)
	for took, want := range map[time.Duration]time.Duration{
		0:                     10 * time.Second,
		20 * time.Millisecond: 20 * time.Second,
		time.Hour:             5 * time.Minute,
	} {
		if got := m.pause(took); got != want {
			t.Errorf("after %v: %v, want %v", took, got, want)
		}
	}
}

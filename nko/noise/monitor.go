package noise

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/entroos/entroos/equations"
)

// Source gives raw noise.
type Source interface {
	// Name tells sources apart whose noise differs. It changes when the way
	// the samples are made does.
	Name() string
	// Read fills samples with the next ones, each 0 or 1.
	Read(samples []byte)
}

// Reference is what the health tests' cutoffs are made for.
type Reference struct {
	Source string `json:"source"` // its Name
	// Entropy is H of equations 6 and 7, half the first full assessment of the
	// source, in bits a sample.
	Entropy float64 `json:"entropy"`
}

// References keeps the box's reference from boot to boot.
type References interface {
	NoiseReference() (ref Reference, ok bool, err error)
	SetNoiseReference(ref Reference) error
}

const (
	// Samples of one assessment, L of equation 3.
	Samples = 1 << 16
	// burst is how many samples are taken in a row: one window of the adaptive
	// proportion test.
	burst = equations.ProportionWindow
	// halfLife is that of an assessment's weight in E_n.
	halfLife = 15 * time.Minute
)

// The pace. The box starts in peace; its first assessment is there within a
// minute. From then on a burst takes at most a thousandth of one CPU.
const (
	startAfter  = 10 * time.Second
	firstPause  = 700 * time.Millisecond
	laterPause  = 10 * time.Second
	laterShare  = 1000
	longest     = 5 * time.Minute
	quickTrials = 2 // failures in a row, after which a source gets the later pace
)

// Monitor watches a noise source. Its zero value is not usable: use NewMonitor.
type Monitor struct {
	source     Source
	references References
	logger     *slog.Logger
	samples    [burst]byte // of Serve alone

	mu        sync.Mutex
	reference Reference // without Entropy until the first assessment
	gathered  equations.BitStatistics
	tests     healthTests
	first     []byte // the samples of the first assessment of all, until it is done
	failures  int    // in a row
	failed    healthTests

	// The last assessment, and what became of it.
	facts      equations.NoiseFacts
	smoothing  equations.SmoothingFacts
	assessed   bool // or failed
	healthy    bool
	assessedAt time.Time
	changedAt  time.Time // of E_n
}

// healthTests are those of equations 6 and 7.
type healthTests struct {
	repetition equations.RepetitionCount
	proportion equations.AdaptiveProportion
}

func newHealthTests(h float64) healthTests {
	return healthTests{
		repetition: equations.NewRepetitionCount(h, equations.HealthAlpha),
		proportion: equations.NewAdaptiveProportion(equations.ProportionWindow, h, equations.HealthAlpha),
	}
}

// add says whether both tests pass with the next sample.
func (t *healthTests) add(bit byte) bool {
	repetition, proportion := t.repetition.Add(bit), t.proportion.Add(bit)
	return repetition && proportion
}

// NewMonitor makes the monitor of a source. Without references, nil, the one of
// this run is kept in memory.
func NewMonitor(source Source, references References, logger *slog.Logger) *Monitor {
	return &Monitor{source: source, references: references, logger: logger}
}

// Serve samples the source until ctx ends. It returns another error when the
// reference cannot be read or kept.
func (m *Monitor) Serve(ctx context.Context) error {
	if err := m.load(); err != nil {
		return err
	}
	pause := startAfter
	for {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		start := time.Now()
		m.source.Read(m.samples[:])
		took := time.Since(start)
		if err := m.take(m.samples[:], time.Now()); err != nil {
			return err
		}
		pause = m.pause(took)
	}
}

// Entropy is E_n, smoothed over the assessments. It is 0 until the first one,
// and again from the moment that a health test fails until a full assessment of
// samples has passed them. healthy is false then, too. assessed is false while
// nothing is known: neither has an assessment been made, nor has a test failed.
func (m *Monitor) Entropy() (value float64, healthy, assessed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.facts.Entropy, m.healthy, m.assessed
}

// Facts are what the last assessment was made of and what the health tests have
// seen; nil while there is neither an assessment nor a failure.
func (m *Monitor) Facts() *equations.NoiseFacts {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.assessed {
		return nil
	}
	facts, tests := m.facts, m.tests
	if !m.healthy {
		tests = m.failed
	}
	facts.Alpha, facts.HealthEntropy = equations.HealthAlpha, m.reference.Entropy
	facts.RepetitionCutoff, facts.LongestRun = tests.repetition.Cutoff, tests.repetition.Longest
	facts.Window, facts.ProportionCutoff, facts.LargestCount = tests.proportion.Window, tests.proportion.Cutoff, tests.proportion.Largest
	facts.Healthy, facts.Age = m.healthy, time.Since(m.changedAt)
	if m.smoothing.HalfLife > 0 {
		s := m.smoothing
		facts.Smoothing = &s
	}
	return &facts
}

// Smoothing is how the last assessment went into E_n; nil when it is the only
// one since the source became healthy.
func (m *Monitor) Smoothing() *equations.SmoothingFacts {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.smoothing.HalfLife == 0 {
		return nil
	}
	s := m.smoothing
	return &s
}

// load reads the reference, once.
func (m *Monitor) load() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.references == nil || m.reference.Entropy > 0 {
		return nil
	}
	ref, ok, err := m.references.NoiseReference()
	if err != nil {
		return fmt.Errorf("the reference of the noise source cannot be read: %w", err)
	}
	if ok && ref.Source == m.source.Name() && ref.Entropy > 0 && ref.Entropy <= 1 {
		m.reference = ref
		m.tests = newHealthTests(ref.Entropy)
	}
	return nil
}

// pause is the time until the next burst, the last one having taken so long.
func (m *Monitor) pause(took time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.healthy && m.failures < quickTrials {
		return max(firstPause, took) // never more than half a CPU
	}
	return min(max(laterPause, laterShare*took), longest)
}

// take takes samples into account. It returns an error when the reference they
// complete cannot be kept.
func (m *Monitor) take(samples []byte, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, bit := range samples {
		bit &= 1
		if m.reference.Entropy > 0 {
			if !m.tests.add(bit) {
				m.fail(m.tests, now)
				return nil // the burst is of no use
			}
		} else {
			m.first = append(m.first, bit)
		}
		m.gathered.Add(bit)
		if m.gathered.Samples() < Samples {
			continue
		}
		if m.reference.Entropy == 0 {
			if ok, err := m.begin(now); !ok || err != nil {
				return err
			}
		}
		m.assess(now)
	}
	return nil
}

// begin makes the reference of the first full assessment, and has its samples
// pass the tests that follow from it. It says whether they did. m.mu is held.
func (m *Monitor) begin(now time.Time) (bool, error) {
	h := equations.NodeEntropy(
		equations.MostCommonValueEntropy(m.gathered.Counts[:]),
		equations.MarkovEntropy(m.gathered.Counts, m.gathered.Transitions), true) / 2
	tests := newHealthTests(h)
	for _, bit := range m.first {
		if !tests.add(bit) {
			m.fail(tests, now)
			return false, nil
		}
	}
	ref := Reference{Source: m.source.Name(), Entropy: h}
	if m.references != nil {
		if err := m.references.SetNoiseReference(ref); err != nil {
			m.gathered, m.first = equations.BitStatistics{}, nil
			return false, fmt.Errorf("the reference of the noise source cannot be kept: %w", err)
		}
	}
	m.reference, m.tests, m.first = ref, tests, nil
	return true, nil
}

// assess makes an assessment of the samples gathered, all of which have passed
// the health tests. m.mu is held.
func (m *Monitor) assess(now time.Time) {
	s := m.gathered
	m.gathered = equations.BitStatistics{}
	f := equations.NoiseFacts{
		Statistics:      s,
		MostCommonValue: equations.MostCommonValueEntropy(s.Counts[:]),
		Collision:       equations.CollisionEntropy(s.Counts[:]),
		Markov:          equations.MarkovEntropy(s.Counts, s.Transitions),
	}
	f.Assessed = equations.NodeEntropy(f.MostCommonValue, f.Markov, true)
	f.Entropy = f.Assessed
	if m.healthy {
		elapsed := now.Sub(m.assessedAt)
		lambda := equations.Decay(elapsed, halfLife)
		f.Entropy = equations.Smooth(m.facts.Entropy, f.Assessed, lambda)
		m.smoothing = equations.SmoothingFacts{
			Quantity: "node entropy", Elapsed: elapsed, HalfLife: halfLife, Lambda: lambda,
			Old: m.facts.Entropy, Latest: f.Assessed, Result: f.Entropy,
		}
	} else {
		m.smoothing = equations.SmoothingFacts{}
		m.logger.Info("the noise source is assessed", "node_entropy", f.Entropy, "failures_before", m.failures)
	}
	m.facts, m.assessed, m.healthy, m.assessedAt, m.changedAt, m.failures = f, true, true, now, now, 0
}

// fail notes that a health test has failed: nothing that was gathered counts,
// and E_n is 0. m.mu is held.
func (m *Monitor) fail(tests healthTests, now time.Time) {
	if m.healthy || !m.assessed {
		m.changedAt = now
	}
	if m.healthy || m.failures == 0 {
		m.logger.Warn("the noise source has failed a health test: node entropy is 0 until it has recovered",
			"run", tests.repetition.Run, "run_cutoff", tests.repetition.Cutoff,
			"count", tests.proportion.Count, "count_cutoff", tests.proportion.Cutoff)
	}
	m.failures++
	m.failed = tests
	m.assessed, m.healthy = true, false
	m.facts.Assessed, m.facts.Entropy = 0, 0
	m.smoothing = equations.SmoothingFacts{}
	m.gathered, m.first = equations.BitStatistics{}, nil
	if m.reference.Entropy > 0 {
		m.tests = newHealthTests(m.reference.Entropy)
	}
}

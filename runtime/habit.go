package runtime

import (
	"sync"
	"time"

	"github.com/entroos/entroos/equations"
)

const (
	// A window of output is compared with those before it when it has so many
	// bytes, or at an execution's end when it has at least the fewer.
	habitWindow   = 16 << 10
	habitFragment = 1 << 10
	// habitHalfLife is after how many windows the weight of one has halved
	// (equation 35, with a window as its unit of time).
	habitHalfLife = 8
	// habitLearning is how many windows pass before one is called unlike them.
	habitLearning = 4
	// driftBound is the least divergence (equation 11) that is called a drift,
	// in bits: that of 1 KiB of text from its own source stays below a third of
	// it. A workload whose output varies is allowed driftUsual times of what is
	// usual for it.
	driftBound = 0.1
	driftUsual = 4
	// habitScale is the total of a history as counts: a byte that has not been
	// seen is taken for one in 4 GiB, which keeps equation 10 finite.
	habitScale = 1 << 32
	// habitsKept bounds the workloads whose output is remembered.
	habitsKept = 64
)

// habit is what a workload's output looks like: the distribution of its bytes,
// over all of its executions since the boot.
type habit struct {
	used time.Time // under habits.mu

	mu      sync.Mutex
	latest  equations.Histogram // the window that is being filled
	filled  int
	history [256]float64 // shares; the older the window, the less they count
	windows int          // in history
	usual   float64      // the smoothed divergence of a window
	drift   Drift
	facts   *equations.OutputFacts // nil before the first comparison
}

// Drift says how unlike a container's latest output is to its workload's output
// before. It is a hint: outputs change for good reasons, too.
type Drift struct {
	// Divergence is that of Jensen and Shannon, in bits, from 0 to 1; Known that
	// there was enough output to tell it.
	Divergence float64
	Known      bool
	// Drifted says that this is more than chance and the workload's habit
	// explain.
	Drifted bool
}

// add takes what a container has written. It calls changed, without its lock,
// when it began or ceased to drift.
func (h *habit) add(container string, data []byte, changed func(Drift)) {
	for len(data) > 0 {
		h.mu.Lock()
		n := min(len(data), habitWindow-h.filled)
		h.latest.Add(data[:n])
		h.filled += n
		data = data[n:]
		var turned bool
		if h.filled == habitWindow {
			turned = h.judge(container)
		}
		drift := h.drift
		h.mu.Unlock()
		if turned {
			changed(drift)
		}
	}
}

// end judges what an execution has written last.
func (h *habit) end(container string, changed func(Drift)) {
	h.mu.Lock()
	turned := h.filled >= habitFragment && h.judge(container)
	drift := h.drift
	h.mu.Unlock()
	if turned {
		changed(drift)
	}
}

// judge compares the latest window with the history, of which it becomes a part.
// It says whether the output began or ceased to drift. h.mu is held.
func (h *habit) judge(container string) (turned bool) {
	if h.windows > 0 {
		f := &equations.OutputFacts{Container: container, Latest: h.latest, History: h.counts()}
		f.Divergence = equations.KullbackLeibler(f.Latest[:], f.History[:])
		f.JensenShannon = equations.JensenShannon(f.Latest[:], f.History[:])
		h.facts = f
		before := h.drift.Drifted
		h.drift = Drift{Divergence: f.JensenShannon, Known: true}
		if h.windows >= habitLearning {
			h.drift.Drifted = f.JensenShannon > max(driftBound, driftUsual*h.usual)
		}
		turned = h.drift.Drifted != before
	}
	lambda := equations.Decay(1, habitHalfLife)
	if h.windows > 0 {
		h.usual = equations.Smooth(h.usual, h.drift.Divergence, lambda)
	} else {
		lambda = 0 // the first is all that is known
	}
	total := float64(h.latest.Total())
	for i, n := range h.latest {
		h.history[i] = equations.Smooth(h.history[i], float64(n)/total, lambda)
	}
	h.windows++
	h.latest, h.filled = equations.Histogram{}, 0
	return turned
}

// counts is the history as a histogram of about habitScale bytes.
func (h *habit) counts() (counts equations.Histogram) {
	for i, share := range h.history {
		counts[i] = max(1, uint64(share*habitScale))
	}
	return counts
}

// habits are those of the workloads, by their digests.
type habits struct {
	mu sync.Mutex
	of map[[32]byte]*habit
	by map[string]*habit // of containers
}

// get gives a workload's habit, from now on that of the container.
func (h *habits) get(container string, workload [32]byte) *habit {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of == nil {
		h.of, h.by = make(map[[32]byte]*habit), make(map[string]*habit)
	}
	one, ok := h.of[workload]
	if !ok {
		if len(h.of) >= habitsKept {
			h.dropOldest()
		}
		one = new(habit)
		h.of[workload] = one
	}
	one.used = time.Now()
	h.by[container] = one
	return one
}

// dropOldest forgets the workload that was started the longest ago.
func (h *habits) dropOldest() {
	var oldest [32]byte
	var at time.Time
	for workload, one := range h.of {
		if at.IsZero() || one.used.Before(at) {
			oldest, at = workload, one.used
		}
	}
	delete(h.of, oldest)
}

func (h *habits) forget(container string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.by, container)
}

// Drift says how unlike a container's latest output is to what its workload has
// written before, in this boot of the box.
func (r *Runtime) Drift(container string) Drift {
	r.habits.mu.Lock()
	one := r.habits.by[container]
	r.habits.mu.Unlock()
	if one == nil {
		return Drift{}
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.drift
}

// OutputFacts are the last comparisons of the workloads' outputs with their
// histories.
func (r *Runtime) OutputFacts() []equations.OutputFacts {
	r.habits.mu.Lock()
	defer r.habits.mu.Unlock()
	var facts []equations.OutputFacts
	for _, one := range r.habits.of {
		one.mu.Lock()
		if one.facts != nil {
			facts = append(facts, *one.facts)
		}
		one.mu.Unlock()
	}
	return facts
}

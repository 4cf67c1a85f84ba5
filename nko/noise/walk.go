package noise

const (
	// walkSize is more than the first-level cache holds, so that a walk
	// depends on what else the box does with its memory.
	walkSize = 256 << 10
	// walkStep is coprime to walkSize, and larger than a page: each access is
	// to another line and another page.
	walkStep = 4096 + 67
	// walkAccesses is how many there are to a sample.
	walkAccesses = 64
	// calibration is how many walks are timed before the first sample.
	calibration = 256
)

// MemoryWalk is the box's own noise: each sample is the lowest bit of the time
// that a walk through memory took, in units of what the timer resolves. Caches,
// TLBs, DRAM refresh, interrupts and the clocks' drift against each other make
// the time vary, as in the jitter sources of the kernel. The zero value is
// ready. It is not safe for concurrent use.
type MemoryWalk struct {
	memory   []byte
	position int
	// unit is the greatest common divisor of the times seen in calibration:
	// some timers count in steps of more than one.
	unit uint64
}

var _ Source = (*MemoryWalk)(nil)

// Name is the source's, with the way of sampling.
func (*MemoryWalk) Name() string { return "memory walk, " + timerName + ", bit 0" }

// Read fills samples with the next ones.
func (w *MemoryWalk) Read(samples []byte) {
	if w.memory == nil {
		w.memory = make([]byte, walkSize)
		w.calibrate()
	}
	for i := range samples {
		samples[i] = byte(w.walk()/w.unit) & 1
	}
}

// calibrate finds the unit. A timer that stands still has none; its samples are
// all 0 and fail the health tests.
func (w *MemoryWalk) calibrate() {
	w.unit = 0
	for range calibration {
		w.unit = divisor(w.unit, w.walk())
	}
	w.unit = max(w.unit, 1)
}

// divisor is the greatest common one; of 0 and x it is x.
func divisor(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// walk takes one walk, and gives its time.
func (w *MemoryWalk) walk() uint64 {
	start := ticks()
	p := w.position
	for range walkAccesses {
		w.memory[p]++
		p = (p + walkStep) % walkSize
	}
	w.position = p
	return ticks() - start
}

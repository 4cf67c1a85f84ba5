package noise

// timerName is part of the source's name.
const timerName = "time stamp counter"

// ticks reads the CPU's time stamp counter.
//
//go:noescape
func ticks() uint64

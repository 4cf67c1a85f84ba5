package noise

// timerName is part of the source's name.
const timerName = "virtual counter"

// ticks reads the CPU's virtual counter, raw: its rate is no divisor of a
// second, so that its lowest bit in nanoseconds would be one of rounding.
//
//go:noescape
func ticks() uint64

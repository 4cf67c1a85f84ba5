//go:build !amd64

package noise

import "time"

// timerName is part of the source's name.
const timerName = "monotonic clock"

var started = time.Now()

// ticks reads the monotonic clock.
func ticks() uint64 { return uint64(time.Since(started)) }

package plots

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
)

// ticks are every step from low to high, both included.
func ticks(low, high, step float64) []float64 {
	var at []float64
	for i := 0; low+float64(i)*step <= high+step/1e6; i++ {
		at = append(at, low+float64(i)*step)
	}
	return at
}

// wholeTicks are whole numbers from 0 to high, ten at most.
func wholeTicks(high float64) plot.ConstantTicks {
	for power := 1.0; ; power *= 10 {
		for _, step := range []float64{power, 2 * power, 5 * power} {
			if high/step <= 10 {
				return constantTicks(ticks(0, math.Floor(high), step), "%.0f")
			}
		}
	}
}

func constantTicks(at []float64, format string) plot.ConstantTicks {
	var t plot.ConstantTicks
	for _, v := range at {
		t = append(t, plot.Tick{Value: v, Label: fmt.Sprintf(format, v)})
	}
	return t
}

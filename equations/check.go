package equations

import (
	"fmt"
	"math"
)

// An observation is what a check saw of one of a row's subjects.
type observation struct {
	name  string
	value float64
	wrong string // what is wrong, or ""
	skip  bool   // not a subject of this row
}

// seen makes an observation of a value, which is wrong unless it holds.
func seen(name string, value float64, holds bool, wrong string, args ...any) observation {
	o := observation{name: name, value: value}
	if !holds {
		o.wrong = fmt.Sprintf(wrong, args...)
	}
	return o
}

// over checks every subject: the first that is wrong fails the row. Without any
// it is not applicable, for the reason absent.
func over[T any](subjects []T, absent string, check func(*T) observation) Verdict {
	count, low, high := 0, math.Inf(1), math.Inf(-1)
	for i := range subjects {
		o := check(&subjects[i])
		switch {
		case o.skip:
			continue
		case o.wrong != "":
			if o.name == "" {
				return Verdict{Fail, o.wrong}
			}
			return Verdict{Fail, o.name + ": " + o.wrong}
		}
		count++
		low, high = min(low, o.value), max(high, o.value)
	}
	switch {
	case count == 0:
		return Verdict{NotApplicable, absent}
	case math.IsInf(low, 1): // none has a value
		return Verdict{Pass, fmt.Sprintf("holds for %d", count)}
	case count == 1 || low == high:
		return Verdict{Pass, number(low)}
	}
	return Verdict{Pass, fmt.Sprintf("%s to %s over %d", number(low), number(high), count)}
}

// one checks a subject that there is once; nil is none.
func one[T any](subject *T, absent string, check func(*T) observation) Verdict {
	if subject == nil {
		return Verdict{NotApplicable, absent}
	}
	return over([]*T{subject}, absent, func(s **T) observation { return check(*s) })
}

// none is the value of an observation that has no number to show.
var none = math.Inf(1)

func number(x float64) string { return fmt.Sprintf("%.4g", x) }

// same says that a component's result is the one recomputed, save for rounding.
func same(a, b float64) bool {
	if math.IsInf(a, 0) || math.IsInf(b, 0) {
		return a == b
	}
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b))
}

// within says that x lies in [low, high]; NaN does not.
func within(x, low, high float64) bool { return x >= low && x <= high }

const notRecomputed = "%.6g in use, %.6g recomputed"

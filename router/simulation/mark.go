package simulation

import (
	"fmt"
	"math"
	"time"
)

// A Verdict is whether a figure reaches its mark.
type Verdict string

// The verdicts.
const (
	Holds         Verdict = "holds"
	Missed        Verdict = "missed"
	NotApplicable Verdict = "not applicable" // the figure is not defined for what was run
)

// What the figures must reach, in the mean of any 500 consecutive seeds.
const (
	LeastCorrelation = 0.78
	LeastScore       = 0.16
	LeastNodeEntropy = 0.74
	MostVerification = time.Microsecond
)

// A Mark is a figure of the test beside the prototype's.
type Mark struct {
	Name      string  `json:"name"`
	Unit      string  `json:"unit,omitempty"` // "%" or "µs"; the values are in it
	Value     Number  `json:"value"`
	Prototype string  `json:"prototype"`           // what the prototype showed
	Threshold string  `json:"prototype_threshold"` // what was asked of it
	Required  string  `json:"required"`            // what EntroOS must show
	Verdict   Verdict `json:"verdict"`
	Digits    int     `json:"-"` // after the point, for people
}

// Suffix is the unit as it stands behind the value.
func (m *Mark) Suffix() string {
	if m.Unit == "" || !m.Value.Defined() {
		return ""
	}
	return " " + m.Unit
}

// Marks compares the result, and the time of a verification, with what
// the production test asks for.
func (r *Result) Marks(v Verification) []Mark {
	t := &r.Total
	return []Mark{
		atLeast("correlation of containers with node entropy", t.Correlation.Mean, LeastCorrelation, "0.3042", "≥ 0.13"),
		atLeast("mean routing score", t.Score.Mean, LeastScore, "0.1389", "≥ 0.1"),
		atLeast("mean E_n by container", t.NodeEntropy.Mean, LeastNodeEntropy, "0.6141", "≥ 0.5"),
		{
			Name: "routing success", Unit: "%", Value: 100 * t.Success, Digits: 2, Prototype: "100 %", Threshold: "≥ 95 %", Required: "100 %",
			Verdict: verdict(t.Success, t.Admitted == t.Offered),
		},
		heldToTarget(&t.AtTarget),
		{
			Name: "verification, V(P,c)", Unit: "µs", Value: Number(v.Median), Digits: 3,
			Prototype: "20 µs", Threshold: "≤ 50,000 µs", Required: "≤ 1 µs",
			Verdict: verdict(Number(v.Median), v.median <= MostVerification),
		},
	}
}

func atLeast(name string, value Number, mark float64, prototype, threshold string) Mark {
	return Mark{
		Name: name, Value: value, Digits: 4, Prototype: prototype, Threshold: threshold, Required: fmt.Sprintf("≥ %.2f", mark),
		Verdict: verdict(value, float64(value) >= mark),
	}
}

// heldToTarget holds when every node whose demand is above the target is held to
// it, not only their mean.
func heldToTarget(s *Summary) Mark {
	worst := max(math.Abs(float64(s.Least-Target)), math.Abs(float64(s.Most-Target)))
	return Mark{
		Name: "CPU utilisation, governed", Unit: "%", Value: 100 * s.Mean, Digits: 2,
		Prototype: "44.3 %", Threshold: "20 %", Required: "20 ± 1 %",
		Verdict: verdict(s.Mean, worst <= tolerance),
	}
}

func verdict(value Number, holds bool) Verdict {
	switch {
	case !value.Defined():
		return NotApplicable
	case holds:
		return Holds
	}
	return Missed
}

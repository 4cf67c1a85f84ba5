package simulation

import (
	"encoding/json"
	"math"
)

// A Number is a figure that may not be defined, which is NaN, and null in JSON.
type Number float64

// Defined tells whether the figure is.
func (n Number) Defined() bool { return !math.IsNaN(float64(n)) }

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if !n.Defined() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(text, (*float64)(n))
}

// A Summary tells of a figure over many runs. Runs in which it is not defined
// do not count; if it is defined in none, neither is the summary.
type Summary struct {
	Mean      Number `json:"mean"`
	Deviation Number `json:"standard_deviation"` // of the sample; not defined for one
	Least     Number `json:"least"`
	Most      Number `json:"most"`
	Defined   int    `json:"defined"` // of how many runs
}

func summarise(values []Number) Summary {
	nan := Number(math.NaN())
	s := Summary{nan, nan, nan, nan, 0}
	var sum float64
	for _, v := range values {
		if !v.Defined() {
			continue
		}
		if s.Defined == 0 {
			s.Least, s.Most = v, v
		}
		s.Least, s.Most = min(s.Least, v), max(s.Most, v)
		s.Defined++
		sum += float64(v)
	}
	if s.Defined == 0 {
		return s
	}
	mean := sum / float64(s.Defined)
	s.Mean = Number(mean)
	if s.Defined < 2 {
		return s
	}
	var squares float64
	for _, v := range values {
		if v.Defined() {
			d := float64(v) - mean
			squares += float64(d * d)
		}
	}
	s.Deviation = Number(math.Sqrt(squares / float64(s.Defined-1)))
	return s
}

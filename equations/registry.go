package equations

import "slices"

// A Row is one of the 70 governing equations.
type Row struct {
	Number    int
	Section   string
	Name      string
	Formula   string
	Component string // where it is at work
	Invariant string // what the check holds the telemetry to
	Function  string // of this package, that the component calls
	// Check evaluates the invariant over a node's telemetry.
	Check func(*Telemetry) Verdict
}

// State is what a check came to.
type State int

const (
	// NotApplicable: the row's subject does not exist on this node.
	NotApplicable State = iota
	// Pass: the invariant holds.
	Pass
	// Fail: it does not.
	Fail
)

// String is the state's word.
func (s State) String() string {
	switch s {
	case Pass:
		return "pass"
	case Fail:
		return "fail"
	}
	return "n/a"
}

// A Verdict is a check's: the state, and the value seen; or why there is none.
type Verdict struct {
	State State
	Seen  string
}

// A Result is a row with its verdict.
type Result struct {
	Row
	Verdict
}

// Rows returns the 70 equations, in order of their numbers.
func Rows() []Row {
	return slices.Concat(entropyRows, routingRows, resourceRows, proofRows, morphRows, systemRows)
}

// Evaluate runs the check of every row over a node's telemetry.
func Evaluate(t *Telemetry) []Result {
	rows := Rows()
	results := make([]Result, len(rows))
	for i, row := range rows {
		results[i] = Result{Row: row, Verdict: row.Check(t)}
	}
	return results
}

// Consistency returns the model consistency,
//
//	rows that hold / rows that apply
//
// and the two counts. Rows that do not apply are in neither. When none applies
// the share is NaN.
func Consistency(results []Result) (share float64, hold, apply int) {
	for _, r := range results {
		switch r.State {
		case Pass:
			hold++
			apply++
		case Fail:
			apply++
		}
	}
	return float64(hold) / float64(apply), hold, apply
}

package simulation

import (
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/entroos/entroos/equations"
)

// A Verification is how long the proof predicate V(P,c) (equation 42) takes on
// this machine. It is measured, not simulated: two tests give two results.
type Verification struct {
	Rounds  int     `json:"rounds"`
	Batches int     `json:"batches"` // in a round
	Batch   int     `json:"batch"`   // verifications in a batch, timed together
	Median  float64 `json:"median_us"`
	Least   float64 `json:"least_us"`
	Upper   float64 `json:"upper_us"` // 95 of 100 batches took less

	median time.Duration
}

// What else the machine does slows some rounds as a whole, where CPUs share
// their units. The round with the lowest median is what a verification takes by
// itself; there are more rounds until one was quiet, for a while.
const (
	verificationBatches = 301
	verificationBatch   = 16
	leastRounds         = 16
	longestMeasurement  = 2 * time.Second
)

// MeasureVerification measures V(P,c) on one thread: of several rounds, the one
// with the lowest median. An error means that the predicate is wrong.
func MeasureVerification() (Verification, error) {
	id, state := equations.Digest(sha256.Sum256([]byte("c_id"))), equations.Digest(sha256.Sum256([]byte("E_s")))
	usage := equations.UsageVector{1, 2, 3}
	proof := equations.ProofOfExecution(id, state, usage)
	v := Verification{Batches: verificationBatches, Batch: verificationBatch}
	batches := make([]time.Duration, verificationBatches)
	for began, quiet := time.Now(), false; v.Rounds < leastRounds || !quiet && time.Since(began) < longestMeasurement; v.Rounds++ {
		for i := range batches {
			start := time.Now()
			for range verificationBatch {
				if !equations.ProofHolds(proof, id, state, usage) {
					return Verification{}, errors.New("a proof does not verify")
				}
			}
			batches[i] = time.Since(start) / verificationBatch
		}
		slices.Sort(batches)
		least, median, upper := batches[0], batches[len(batches)/2], batches[len(batches)*95/100]
		quiet = quiet || upper <= least*21/20
		if v.Rounds == 0 || median < v.median {
			v.median, v.Median, v.Least, v.Upper = median, microseconds(median), microseconds(least), microseconds(upper)
		}
	}
	proof[0] ^= 1
	if equations.ProofHolds(proof, id, state, usage) {
		return Verification{}, errors.New("a false proof verifies")
	}
	return v, nil
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

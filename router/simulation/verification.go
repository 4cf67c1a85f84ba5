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
	Samples int     `json:"samples"`
	Batch   int     `json:"batch"` // verifications in a sample
	Median  float64 `json:"median_us"`
	Least   float64 `json:"least_us"`
	Upper   float64 `json:"upper_us"` // 95 of 100 samples took less

	median time.Duration
}

// Many short samples: their median is not moved by what else the machine does.
const (
	verificationSamples = 1001
	verificationBatch   = 32
)

// MeasureVerification measures V(P,c) on one thread. An error means that the
// predicate is wrong.
func MeasureVerification() (Verification, error) {
	id, state := equations.Digest(sha256.Sum256([]byte("c_id"))), equations.Digest(sha256.Sum256([]byte("E_s")))
	usage := equations.UsageVector{1, 2, 3}
	proof := equations.ProofOfExecution(id, state, usage)
	samples := make([]time.Duration, verificationSamples)
	for i := range samples {
		start := time.Now()
		for range verificationBatch {
			if !equations.ProofHolds(proof, id, state, usage) {
				return Verification{}, errors.New("a proof does not verify")
			}
		}
		samples[i] = time.Since(start) / verificationBatch
	}
	proof[0] ^= 1
	if equations.ProofHolds(proof, id, state, usage) {
		return Verification{}, errors.New("a false proof verifies")
	}
	slices.Sort(samples)
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	return Verification{
		verificationSamples, verificationBatch, us(samples[verificationSamples/2]),
		us(samples[0]), us(samples[verificationSamples*95/100]), samples[verificationSamples/2],
	}, nil
}

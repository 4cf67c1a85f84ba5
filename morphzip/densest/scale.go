package densest

import "math/bits"

// Probabilities are of a one bit, in 1/65536. In the logistic domain they are
// ln(p/(1-p)) in units of 1/256.
const (
	probBits = 16
	oneHalf  = 1 << (probBits - 1)
	maxLogit = 2839 // ln(65535)*256
	// e^(1/256) in units of 2^-62.
	expStep = 4629735647166717428
)

var (
	squashTable [2*maxLogit + 1]uint16
	// stretchTable is the inverse of squash.
	stretchTable [1 << probBits]int16
)

// The tables are made by integer arithmetic alone, so that they are the same
// on every machine.
func init() {
	// The odds e^(x/256) in units of 2^-32, upwards from 1.
	power := uint64(1) << 62 // mantissa in units of 2^-62, in [1,2)
	exponent := 0
	for x := 0; x <= maxLogit; x++ {
		// p = odds/(1+odds) = 1 - 1/(1+odds)
		var rest uint64 // 65536/(1+odds), rounded
		if exponent < 30 {
			odds := power >> (30 - exponent) // units of 2^-32
			den := odds + 1<<32
			rest = (1<<48 + den/2) / den
		}
		if rest == 0 {
			rest = 1
		}
		squashTable[maxLogit+x] = uint16(min(65536-rest, 65535))
		squashTable[maxLogit-x] = uint16(rest)
		hi, lo := bits.Mul64(power, expStep)
		power = hi<<2 | lo>>62
		if power>>63 != 0 {
			power >>= 1
			exponent++
		}
	}
	x := 0
	for p := 1; p < 1<<probBits; p++ {
		for x < 2*maxLogit && int(squashTable[x+1])-p <= p-int(squashTable[x]) {
			x++
		}
		stretchTable[p] = int16(x - maxLogit)
	}
	stretchTable[0] = -maxLogit
}

// squash is the logistic function: the probability of the logit x.
func squash(x int) int {
	if x > maxLogit {
		x = maxLogit
	} else if x < -maxLogit {
		x = -maxLogit
	}
	return int(squashTable[x+maxLogit])
}

package mixing

import "math/bits"

// MaxLogit is the largest logit, in 1/256: that of 65535/65536.
const MaxLogit = 2839

// squashed holds Squash of each logit, by MaxLogit more than it; stretched the
// logit in the middle of each sixteenth of a probability step.
var (
	squashed  [8192]uint16
	stretched [4096]int16
)

// exp256 is e^(1/256) in 1/2^62.
const exp256 = 4_629_735_647_166_717_428

func init() {
	fillSquashed()
	fillStretched()
}

// fillSquashed computes 1/(1+e^−x) from powers of e^(1/256), each a product of
// integers.
func fillSquashed() {
	power := uint64(1) << 32 // e^(x/256) in 1/2^32
	for x := 0; x < 4096; x++ {
		// 1/(1+1/e) = e/(e+1)
		hi, lo := bits.Mul64(power, 1<<17)
		p, _ := bits.Div64(hi, lo, power+1<<32)
		p = min((p+1)/2, 65535)
		if x <= MaxLogit {
			squashed[MaxLogit+x] = uint16(max(p, 1))
			squashed[MaxLogit-x] = uint16(max(65536-p, 1))
			hi, lo = bits.Mul64(power, exp256)
			power = hi<<2 | lo>>62
		}
	}
	for i := 2*MaxLogit + 1; i < len(squashed); i++ {
		squashed[i] = 65535
	}
}

// fillStretched inverts the squash of a logit: the first one that reaches the
// middle of a step.
func fillStretched() {
	x := 0
	for i := range stretched {
		for x < 2*MaxLogit && int(squashed[x]) < i*16+8 {
			x++
		}
		stretched[i] = int16(x - MaxLogit)
	}
}

// Squash returns the probability of a logit, which is brought into ±MaxLogit.
func Squash(logit int) int {
	return int(squashed[uint(min(max(logit, -MaxLogit), MaxLogit)+MaxLogit)&8191])
}

// Stretch returns the logit of a probability, within 1/32 of the probability's
// lowest and highest sixteenth step.
func Stretch(p int) int { return int(stretched[uint(p)>>4&4095]) }

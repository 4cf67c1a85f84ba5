package mixing

import (
	"math/bits"
	"slices"
)

// History is what a context remembers of the bits that followed it, in a byte:
// how many zeros and ones, the latter discounted when the former come, and the
// last one. 0 is that of a context not seen. A greater one has seen more.
type History uint8

// histories is the number of histories in use.
var histories int

// nextHistory holds the history after a bit at 2·history + bit, and
// historyCounts the zeros and ones of a history.
var (
	nextHistory   [512]History
	historyCounts [256][2]uint8
)

// Next returns the history after one more bit.
func (h History) Next(bit int) History { return nextHistory[uint(h)<<1&510|uint(bit)&1] }

// Counts returns how many zeros and ones the history stands for.
func (h History) Counts() (zeros, ones int) {
	return int(historyCounts[h][0]), int(historyCounts[h][1])
}

// mostCounts is the largest count that is kept beside a smaller one.
var mostCounts = [...]int{41, 20, 10, 7, 6, 5}

// counts are the zeros and ones, and the last bit where both were seen.
type counts struct {
	n    [2]int
	last int
}

// after returns the counts after a bit: one more of its kind, within the
// bounds; many of the other kind are worth less from now on, because what
// changed once may have changed for good.
func (c counts) after(bit int) counts {
	same, other := c.n[bit]+1, c.n[1-bit]
	other = min(other, 1+bits.Len(uint(other)))
	for min(same, other) >= len(mostCounts) {
		same, other = min(same, len(mostCounts)-1), min(other, len(mostCounts)-1)
	}
	most := mostCounts[min(same, other)]
	same, other = min(same, most), min(other, most)
	next := counts{last: bit}
	next.n[bit], next.n[1-bit] = same, other
	if other == 0 {
		next.last = 0
	}
	return next
}

func init() {
	states := []counts{{}}
	for i := 0; i < len(states); i++ {
		for bit := range 2 {
			if next := states[i].after(bit); !slices.Contains(states, next) {
				states = append(states, next)
			}
		}
	}
	slices.SortStableFunc(states, func(a, b counts) int { return a.n[0] + a.n[1] - b.n[0] - b.n[1] })
	histories = len(states)
	if histories > 256 {
		panic("mixing: too many histories")
	}
	for i, s := range states {
		historyCounts[i] = [2]uint8{uint8(s.n[0]), uint8(s.n[1])}
		for bit := range 2 {
			nextHistory[2*i+bit] = History(slices.Index(states, s.after(bit)))
		}
	}
}

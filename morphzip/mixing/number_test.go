package mixing

import (
	"testing"

	"pgregory.net/rapid"
)

func TestNumberRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.OneOf(rapid.Uint64Range(0, 300), rapid.Uint64())
		numbers := rapid.SliceOfN(gen, 0, 50).Draw(t, "numbers")
		wants := rapid.SliceOfN(gen, len(numbers)*2, len(numbers)*2).Draw(t, "wants")
		run := func(c *Coder) []uint64 {
			m := NewModel(NewSlots(12), 3, 1, 4)
			var got []uint64
			for i := range numbers {
				u := uint64(0)
				if !c.Decoding() {
					u = numbers[i]
				}
				m.Hash[0], m.Hash[1], m.Hash[2] = Hash(1, 0), Hash(2, uint32(i&1)), Hash(3, uint32(i))
				want := [2]uint64{wants[2*i], wants[2*i+1]}
				if i%3 == 0 {
					want[0] = numbers[i]
				}
				m.Expect(0, 0, 1+i%3*20)
				m.Expect(1, 0, i%2)
				got = append(got, m.Number(c, u, want))
			}
			return got
		}
		c := NewEncoder(nil)
		run(c)
		for i, u := range run(NewDecoder(c.Finish())) {
			if u != numbers[i] {
				t.Fatalf("%d became %d", numbers[i], u)
			}
		}
	})
}

func TestNumberBoundsItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewDecoder(rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "bytes"))
		m := NewModel(NewSlots(12), 1, 1, 4)
		for range 100 {
			m.Number(c, 0, [2]uint64{})
		}
	})
}

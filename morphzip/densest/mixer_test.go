package densest

import "testing"

func BenchmarkMixer(b *testing.B) {
	m := newMixer(100, 256, 3000)
	in := make([]int32, 100)
	for i := range in {
		in[i] = int32(i*37%900 - 450)
	}
	for i := range b.N {
		m.mix(in, i&255)
		m.learn(in, i&1, 300, 20, 600)
	}
}

package morphzip

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// BenchmarkWriter is with one worker: of a core.
func BenchmarkWriter(b *testing.B) {
	content := logLines(400_000)
	for level := Fastest; level <= Densest; level++ {
		part := content
		if level >= Dense {
			part = part[:2*mebi]
		}
		b.Run(fmt.Sprint(level), func(b *testing.B) {
			b.SetBytes(int64(len(part)))
			size := 0
			for b.Loop() {
				size = len(compress(b, part, Options{Level: level, Workers: 1}))
			}
			b.ReportMetric(float64(size)/float64(len(part)), "ratio")
		})
	}
}

func BenchmarkReader(b *testing.B) {
	content := logLines(400_000)
	for level := Fastest; level <= Densest; level++ {
		part := content
		if level >= Dense {
			part = part[:2*mebi]
		}
		file := compress(b, part, Options{Level: level})
		b.Run(fmt.Sprint(level), func(b *testing.B) {
			b.SetBytes(int64(len(part)))
			for b.Loop() {
				if _, err := NewReader(bytes.NewReader(file)).WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package morphzip

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"testing"
)

func TestRunChecksum(t *testing.T) {
	for _, n := range []int{1, 2, 3, 255, 8192, 100_001} {
		for _, value := range []byte{0, 1, 255} {
			if got, want := runChecksum(value, uint64(n)), crc32.Checksum(bytes.Repeat([]byte{value}, n), castagnoli); got != want {
				t.Errorf("%d times %d: %08x, it is %08x", n, value, got, want)
			}
		}
	}
}

// sparse is size zeros, with an island of bytes every so many.
type sparse struct {
	at, size, every int64
	island          []byte
}

func (s *sparse) Read(p []byte) (n int, err error) {
	p = p[:min(int64(len(p)), s.size-s.at)]
	if len(p) == 0 {
		return 0, io.EOF
	}
	clear(p)
	if s.every > 0 {
		for i := s.at / s.every * s.every; i < s.at+int64(len(p)); i += s.every {
			if i+int64(len(s.island)) <= s.at {
				continue
			}
			copy(p[max(i-s.at, 0):], s.island[max(s.at-i, 0):])
		}
	}
	s.at += int64(len(p))
	return len(p), nil
}

// comparing is a writer that fails where other bytes come than these.
type comparing struct {
	with  io.Reader
	other []byte
}

func (c *comparing) Write(b []byte) (int, error) {
	if cap(c.other) < len(b) {
		c.other = make([]byte, len(b))
	}
	if _, err := io.ReadFull(c.with, c.other[:len(b)]); err != nil {
		return 0, err
	}
	if !bytes.Equal(b, c.other[:len(b)]) {
		return 0, fmt.Errorf("other bytes")
	}
	return len(b), nil
}

// checkSparse compresses a sparse stream and compares what comes back.
func checkSparse(t testing.TB, level Level, size, every int64, most int) {
	t.Helper()
	island := logLines(20)
	var file bytes.Buffer
	w, err := NewWriter(&file, Options{Level: level})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyBuffer(w, &sparse{size: size, every: every, island: island}, make([]byte, mebi)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if file.Len() > most {
		t.Errorf("%v: %d bytes are %d", level, size, file.Len())
	}
	n, err := NewReader(&file).WriteTo(&comparing{with: &sparse{size: size, every: every, island: island}})
	if err != nil || n != size {
		t.Errorf("%v: %d bytes of %d came back: %v", level, n, size, err)
	}
}

func TestLongRuns(t *testing.T) {
	const size = 256 * mebi
	for level := Fastest; level <= Densest; level++ {
		checkSparse(t, level, size, 0, 60)
		checkSparse(t, level, size, size/5+12345, 2500)
	}
}

func BenchmarkTenGigabytes(b *testing.B) {
	for _, every := range []int64{0, 1 << 30} {
		for level := Fastest; level <= Densest; level++ {
			b.Run(fmt.Sprintf("%v/every%d", level, every), func(b *testing.B) {
				const size = 10 << 30
				b.SetBytes(size)
				for b.Loop() {
					checkSparse(b, level, size, every, 10_000)
				}
			})
		}
	}
}

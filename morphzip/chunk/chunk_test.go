package chunk

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// chunksOf cuts data, and fails unless the chunks are the data again and of the
// sizes asked for.
func chunksOf(t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, r io.Reader, data []byte, p Parameters,
) [][]byte {
	t.Helper()
	c, err := New(r, p.Minimum, p.K, p.Maximum)
	if err != nil {
		t.Fatal(err)
	}
	var chunks [][]byte
	rest := data
	for {
		chunk, err := c.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(chunk) == 0 || len(chunk) > p.Maximum || !bytes.HasPrefix(rest, chunk) {
			t.Fatalf("a chunk of %d bytes is not the stream's", len(chunk))
		}
		rest = rest[len(chunk):]
		if len(chunk) < p.Minimum && len(rest) > 0 {
			t.Fatalf("a chunk of %d bytes is not the last", len(chunk))
		}
		chunks = append(chunks, bytes.Clone(chunk))
	}
	if len(rest) > 0 {
		t.Fatalf("%d bytes are missing", len(rest))
	}
	return chunks
}

func random(seed uint64, n int) []byte {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = source.Read(data)
	return data
}

func TestChunksAreTheStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Parameters{Minimum: rapid.IntRange(64, 300).Draw(t, "minimum"), K: rapid.IntRange(1, 12).Draw(t, "k")}
		p.Maximum = p.Minimum + rapid.IntRange(1, 3000).Draw(t, "span")
		data := random(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 20_000).Draw(t, "size"))
		whole := chunksOf(t, bytes.NewReader(data), data, p)
		pieces := chunksOf(t, iotest.HalfReader(bytes.NewReader(data)), data, p)
		if len(whole) != len(pieces) {
			t.Fatalf("%d chunks, or %d as the reads come", len(whole), len(pieces))
		}
	})
}

func TestMeanSizeIsEquation60s(t *testing.T) {
	for seed, p := range []Parameters{
		{Minimum: 64, K: 8, Maximum: 4096},
		{Minimum: 2048, K: 13, Maximum: 65536},
		{Minimum: 4096, K: 14, Maximum: 16384},
		{Minimum: 1024, K: 10, Maximum: 1500},
	} {
		data := random(uint64(seed), 64<<p.K)
		mean := float64(len(data)) / float64(len(chunksOf(t, bytes.NewReader(data), data, p)))
		if math.Abs(mean/p.Mean()-1) > 0.25 {
			t.Errorf("%+v: chunks of %.0f bytes, equation 60 says %.0f", p, mean, p.Mean())
		}
	}
}

func TestInsertionChangesFewChunks(t *testing.T) {
	p := Parameters{Minimum: 256, K: 10, Maximum: 8192}
	data := random(9, 1<<20)
	known := map[string]bool{}
	for _, chunk := range chunksOf(t, bytes.NewReader(data), data, p) {
		known[string(chunk)] = true
	}
	changed := append(append(bytes.Clone(data[:400_000]), "inserted"...), data[400_000:]...)
	unknown := 0
	for _, chunk := range chunksOf(t, bytes.NewReader(changed), changed, p) {
		if !known[string(chunk)] {
			unknown++
		}
	}
	if unknown == 0 || unknown > 4 {
		t.Errorf("8 bytes more make %d new chunks", unknown)
	}
}

// The gear table and the rule decide which chunks are equal to stored ones.
func TestBoundariesNeverChange(t *testing.T) {
	if gear[0] != 0xe220a8397b1dcdaf || gear[255] != 0x5a5832bb47bcf19e {
		t.Errorf("gear[0], gear[255] = %#x, %#x", gear[0], gear[255])
	}
	data := make([]byte, 30_000)
	for i := range data {
		data[i] = byte(i * i >> 5)
	}
	var sizes []int
	for _, chunk := range chunksOf(t, bytes.NewReader(data), data, Parameters{Minimum: 128, K: 9, Maximum: 4096}) {
		sizes = append(sizes, len(chunk))
	}
	if want := []int{2257, 173, 641, 141, 635, 2506, 173}; !slices.Equal(sizes[:7], want) {
		t.Errorf("chunks of %d bytes, not of %d", sizes[:7], want)
	}
}

func TestRunsEndAtTheMaximum(t *testing.T) {
	p := Parameters{Minimum: 64, K: 10, Maximum: 1000}
	for _, chunk := range chunksOf(t, bytes.NewReader(make([]byte, 10_000)), make([]byte, 10_000), p) {
		if len(chunk) != 1000 {
			t.Errorf("a chunk of %d zeros", len(chunk))
		}
	}
}

func TestErrors(t *testing.T) {
	for _, p := range []Parameters{{}, {63, 100, 4}, {64, 64, 4}, {64, MaximumSize + 1, 4}, {64, 100, 0}, {64, 100, 41}} {
		if _, err := New(nil, p.Minimum, p.K, p.Maximum); !errors.Is(err, ErrParameters) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	broken := errors.New("broken")
	c, err := New(io.MultiReader(bytes.NewReader(make([]byte, 100)), iotest.ErrReader(broken)), 64, 10, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if chunk, err := c.Next(); len(chunk) != 100 || err != nil {
		t.Errorf("%d bytes, %v", len(chunk), err)
	}
	for range 2 {
		if _, err := c.Next(); !errors.Is(err, broken) {
			t.Error(err)
		}
	}
}

func FuzzChunker(f *testing.F) {
	f.Add([]byte{}, uint16(64), uint16(100), uint8(3))
	f.Add(bytes.Repeat([]byte("chunks "), 100), uint16(64), uint16(100), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, minimum, span uint16, k uint8) {
		p := Parameters{Minimum: int(minimum), Maximum: int(minimum) + int(span), K: int(k)}
		if p.check() == nil {
			chunksOf(t, bytes.NewReader(data), data, p)
		}
	})
}

func BenchmarkChunker(b *testing.B) {
	data := random(1, 32<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		c, err := New(bytes.NewReader(data), 16<<10, 16, 256<<10)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = c.Next()
		}
	}
}

package delta

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"pgregory.net/rapid"
)

type fataler interface {
	Helper()
	Fatal(...any)
}

func encode(t fataler, old, new []byte) []byte {
	t.Helper()
	var patch bytes.Buffer
	if err := Encode(&patch, bytes.NewReader(old), int64(len(old)), bytes.NewReader(new), int64(len(new))); err != nil {
		t.Fatal(err)
	}
	return patch.Bytes()
}

// roundTrip encodes and decodes, and returns the patch.
func roundTrip(t fataler, old, new []byte) []byte {
	t.Helper()
	patch := encode(t, old, new)
	var out bytes.Buffer
	if err := Decode(&out, bytes.NewReader(old), int64(len(old)), bytes.NewReader(patch)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), new) {
		t.Fatal("another file came out")
	}
	return patch
}

func random(seed byte, n int) []byte {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{seed})
	_, _ = source.Read(data)
	return data
}

func TestEdges(t *testing.T) {
	texts := [][]byte{nil, {0}, []byte("a\r\n"), bytes.Repeat([]byte("abc \xff"), 1500), make([]byte, 9000), random(1, 4000)}
	for _, old := range texts {
		for _, new := range texts {
			roundTrip(t, old, new)
		}
	}
}

// edited draws a change of data: parts of it, moved, changed, and others.
func edited(t *rapid.T, data []byte) []byte {
	var out []byte
	for range rapid.IntRange(0, 8).Draw(t, "parts") {
		if rapid.Bool().Draw(t, "insert") {
			out = append(out, random(rapid.Byte().Draw(t, "seed"), rapid.IntRange(0, 300).Draw(t, "size"))...)
			continue
		}
		begin := rapid.IntRange(0, len(data)).Draw(t, "begin")
		end := rapid.IntRange(begin, len(data)).Draw(t, "end")
		part := bytes.Clone(data[begin:end])
		for step := rapid.IntRange(30, 3000).Draw(t, "step"); len(part) > step; step += step {
			part[step]++
		}
		out = append(out, part...)
	}
	return out
}

func TestAnyBytesComeBack(t *testing.T) {
	program := testProgram(t)
	rapid.Check(t, func(t *rapid.T) {
		old := random(rapid.Byte().Draw(t, "seed"), rapid.IntRange(0, 5000).Draw(t, "size"))
		if rapid.IntRange(0, 3).Draw(t, "program") == 0 {
			begin := rapid.IntRange(0, len(program)/2).Draw(t, "begin")
			old = program[begin : begin+len(program)/20]
		}
		roundTrip(t, old, edited(t, old))
	})
}

// testProgram is this test itself: a program with tables, as the linker makes it.
func testProgram(t testing.TB) []byte {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func TestProgramOfItself(t *testing.T) {
	program := testProgram(t)
	if patch := roundTrip(t, program, program); len(patch) > 200 {
		t.Errorf("no change takes %d bytes", len(patch))
	}
	// Within an archive it is a program still.
	archive := append(append(make([]byte, 5000), program...), program[:10_000]...)
	if patch := roundTrip(t, program, archive); len(patch) > 300 {
		t.Errorf("an archive of it takes %d bytes", len(patch))
	}
}

func TestLargeInsertsAndSections(t *testing.T) {
	old := random(3, 200_000)
	// More than is mixed, in more than one section, some of it compressible.
	new := append(append(random(4, 5<<19), old...), bytes.Repeat(random(5, 1000), 800)...)
	patch := roundTrip(t, old, new)
	if limit := 5<<19 + 20_000; len(patch) > limit {
		t.Errorf("%d bytes, not %d", len(patch), limit)
	}
}

// limited fails the test when more is written than expected.
type limited struct {
	t    *testing.T
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		l.t.Fatal("more was written than the patch says")
	}
	return len(p), nil
}

func TestDamageIsTold(t *testing.T) {
	old := bytes.Repeat([]byte("the old file, line by line\n"), 400)
	new := append(append(bytes.Clone(old[:3000]), "a change"...), old[3100:]...)
	patch := roundTrip(t, old, new)
	decode := func(patch []byte) error {
		return Decode(&limited{t, int64(len(new))}, bytes.NewReader(old), int64(len(old)), bytes.NewReader(patch))
	}
	for n := range patch {
		if err := decode(patch[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut off after %d bytes: %v", n, err)
		}
	}
	if err := decode(append(bytes.Clone(patch), 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("with a byte more: %v", err)
	}
	header := len(magic) + 2 + 2
	for i := range patch {
		damaged := bytes.Clone(patch)
		damaged[i] ^= 0x10
		var out bytes.Buffer
		err := Decode(&out, bytes.NewReader(old), int64(len(old)), bytes.NewReader(damaged))
		if err == nil && bytes.Equal(out.Bytes(), new) {
			continue // the last bits of a coded number say nothing
		}
		want := ErrCorrupt
		if i >= len(magic) && i < len(magic)+2 || i >= header && i < header+digestSize {
			want = ErrWrongFile
		}
		if !errors.Is(err, want) {
			t.Errorf("byte %d damaged: %v", i, err)
		}
	}
}

func TestWrongOldFile(t *testing.T) {
	old, new := []byte("the old file"), []byte("the new file")
	patch := encode(t, old, new)
	for _, other := range []string{"", "another file", "the old file."} {
		var out bytes.Buffer
		err := Decode(&out, bytes.NewReader([]byte(other)), int64(len(other)), bytes.NewReader(patch))
		if !errors.Is(err, ErrWrongFile) || out.Len() > 0 {
			t.Errorf("%q: %v, and %d bytes", other, err, out.Len())
		}
	}
}

type brokenFile struct{}

func (brokenFile) ReadAt([]byte, int64) (int, error) { return 0, errBroken }

var errBroken = errors.New("broken")

// failing reads well for a while.
type failing struct {
	data  []byte
	reads int
}

func (f *failing) ReadAt(p []byte, offset int64) (int, error) {
	if f.reads--; f.reads < 0 {
		return 0, errBroken
	}
	return bytes.NewReader(f.data).ReadAt(p, offset)
}

func TestErrorsOfFiles(t *testing.T) {
	good := bytes.NewReader([]byte("good"))
	if err := Encode(io.Discard, good, 4, brokenFile{}, 4); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if err := Encode(io.Discard, good, 5, good, 4); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if err := Encode(io.Discard, good, 4, good, MaxSize+1); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	old := random(1, 30_000)
	patch := encode(t, old, old)
	for reads := range 4 {
		if err := Encode(io.Discard, &failing{old, reads}, int64(len(old)), bytes.NewReader(old), int64(len(old))); !errors.Is(err, errBroken) {
			t.Errorf("encoding, after %d reads: %v", reads, err)
		}
		err := Decode(io.Discard, &failing{old, reads}, int64(len(old)), bytes.NewReader(patch))
		if !errors.Is(err, errBroken) {
			t.Errorf("decoding, after %d reads: %v", reads, err)
		}
	}
}

func TestPatchesAreTheSameEachTime(t *testing.T) {
	program := testProgram(t)
	old, new := program[:len(program)/4], program[len(program)/16:len(program)/4+50_000]
	if !bytes.Equal(encode(t, old, new), encode(t, old, new)) {
		t.Error("two patches of the same files differ")
	}
}

func TestSketchesFindTheSimilar(t *testing.T) {
	sketch := func(data []byte) *Sketch {
		s, err := NewSketch(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return &s
	}
	program := testProgram(t)
	changed := append(append(bytes.Clone(program[:1<<20]), "more"...), program[1<<20+500:]...)
	whole := sketch(program)
	if n := whole.Similarity(sketch(program)); n != sketchSize {
		t.Errorf("equal files: %d", n)
	}
	if n := whole.Similarity(sketch(changed)); n < sketchSize*9/10 {
		t.Errorf("a small change: %d", n)
	}
	if n := whole.Similarity(sketch(random(1, 1<<20))); n > 2 {
		t.Errorf("random bytes: %d", n)
	}
	if n := sketch(nil).Similarity(sketch(nil)); n != 0 {
		t.Errorf("nothing: %d", n)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add([]byte("a file and another"), []byte("a file and one more"))
	f.Add(bytes.Repeat([]byte("0123456789abcdef"), 40), bytes.Repeat([]byte("0123456789abcdeg"), 41))
	small := smallImage()
	f.Add(small, append(bytes.Clone(small), small...))
	f.Fuzz(func(t *testing.T, old, new []byte) { roundTrip(t, old, new) })
}

func FuzzDecode(f *testing.F) {
	old := append(bytes.Repeat([]byte("0123456789abcdef"), 40), smallImage()...)
	for _, new := range [][]byte{nil, old, old[100:], append([]byte("more"), old...), random(1, 1000)} {
		var patch bytes.Buffer
		if err := Encode(&patch, bytes.NewReader(old), int64(len(old)), bytes.NewReader(new), int64(len(new))); err != nil {
			f.Fatal(err)
		}
		f.Add(patch.Bytes())
	}
	f.Fuzz(func(t *testing.T, patch []byte) {
		// What follows the header is what the fuzzer is to change: the sizes stay
		// small, so that it is quick, and the old file's digest is right.
		var right bytes.Buffer
		if err := Encode(&right, bytes.NewReader(old), int64(len(old)), bytes.NewReader(old), int64(len(old))); err != nil {
			t.Fatal(err)
		}
		header := len(magic) + 4 + digestSize
		if len(patch) > header {
			patch = append(bytes.Clone(right.Bytes()[:header]), patch[header:]...)
		}
		_ = Decode(&limited{t, int64(len(old))}, bytes.NewReader(old), int64(len(old)), bytes.NewReader(patch))
	})
}

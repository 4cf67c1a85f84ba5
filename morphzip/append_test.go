package morphzip

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestFilesAreConcatenated(t *testing.T) {
	a, b := logLines(200), random(70_000)
	file := slices.Concat(compress(t, a, Options{Level: 2, BlockSize: minBlockSize}), compress(t, nil, Options{}), compress(t, b, Options{Level: 1}))
	want := slices.Concat(a, b)
	got, err := io.ReadAll(NewReader(bytes.NewReader(file)))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d: %v", len(got), len(want), err)
	}
	f, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil || f.Size() != uint64(len(want)) {
		t.Fatalf("%d bytes of %d: %v", f.Size(), len(want), err)
	}
	part := make([]byte, 5000)
	if _, err := f.ReadAt(part, int64(len(a)-2500)); err != nil || !bytes.Equal(part, want[len(a)-2500:][:5000]) {
		t.Errorf("from one into the other: %v", err)
	}
}

func TestAppend(t *testing.T) {
	first, second := logLines(120), logLines(50)
	old := compress(t, first, Options{Level: 2, BlockSize: minBlockSize})
	for cut := range old {
		// An append that was torn, at each byte; 0 is an empty file.
		f := newStorage(t, old, slices.Clip(old)[:cut])
		w, err := Append(f, int64(len(old)+cut), Options{Level: 1})
		if err != nil {
			t.Fatalf("torn at %d: %v", cut, err)
		}
		if _, err := w.Write(second); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(NewReader(io.NewSectionReader(f, 0, 1<<40)))
		if err != nil || !bytes.HasPrefix(got, first) || !bytes.HasSuffix(got, second) {
			t.Fatalf("torn at %d: %d bytes, %v", cut, len(got), err)
		}
		if torn := got[len(first) : len(got)-len(second)]; !bytes.HasPrefix(first, torn) {
			t.Fatalf("torn at %d: %d bytes in between are wrong", cut, len(torn))
		}
	}
}

func TestAppendLeavesDamageAlone(t *testing.T) {
	old := compress(t, logLines(300), Options{Level: 2, BlockSize: minBlockSize})
	old[headerLength] ^= 1
	old[len(old)-1] ^= 1
	f := newStorage(t, old, nil)
	if _, err := Append(f, int64(len(old)), Options{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40)); err != nil || !bytes.Equal(got, old) {
		t.Errorf("it was changed: %v", err)
	}
}

func newStorage(t *testing.T, parts ...[]byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.mz")
	if err := os.WriteFile(path, slices.Concat(parts...), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// drawContent draws bytes with all that blocks and runs are about.
func drawContent(t *rapid.T) []byte {
	var content []byte
	for range rapid.IntRange(0, 6).Draw(t, "pieces") {
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			content = append(content, bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.IntRange(1, 4*minRun).Draw(t, "run"))...)
		case 1:
			content = append(content, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")...)
		case 2:
			content = append(content, logLines(rapid.IntRange(1, 100).Draw(t, "lines"))...)
		default:
			content = append(content, random(rapid.IntRange(1, 20_000).Draw(t, "random"))...)
		}
	}
	return content
}

func TestAnyPartIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := drawContent(t)
		o := Options{
			Level: Level(rapid.IntRange(1, 4).Draw(t, "level")), BlockSize: rapid.IntRange(minBlockSize, 64<<10).Draw(t, "block size"),
			Workers: rapid.IntRange(1, 3).Draw(t, "workers"),
		}
		var file bytes.Buffer
		w, err := NewWriter(&file, o)
		if err != nil {
			t.Fatal(err)
		}
		for left := content; len(left) > 0; {
			n := rapid.IntRange(1, min(len(left), 30_000)).Draw(t, "write")
			if _, err := w.Write(left[:n]); err != nil {
				t.Fatal(err)
			}
			left = left[n:]
			if rapid.IntRange(0, 9).Draw(t, "flush") == 0 {
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(NewReader(&iotestReader{bytes.NewReader(file.Bytes())}))
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%d bytes of %d: %v", len(got), len(content), err)
		}
		f, err := Open(bytes.NewReader(file.Bytes()), int64(file.Len()))
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			from := rapid.IntRange(0, len(content)).Draw(t, "from")
			p := make([]byte, rapid.IntRange(0, 40_000).Draw(t, "length"))
			n, err := f.ReadAt(p, int64(from))
			want := content[from:min(from+len(p), len(content))]
			if !bytes.Equal(p[:n], want) || (err == nil) != (n == len(p)) || err != nil && err != io.EOF {
				t.Fatalf("%d bytes from %d of %d: %d, %v", len(p), from, len(content), n, err)
			}
		}
	})
}

// iotestReader gives its bytes in small pieces, as a pipe may.
type iotestReader struct{ r io.Reader }

func (r *iotestReader) Read(p []byte) (int, error) { return r.r.Read(p[:min(len(p), 701)]) }

func TestTheFileIsTheSameWithAnyWorkers(t *testing.T) {
	content := slices.Concat(logLines(5000), random(50_000), logLines(5000))
	for level := Fastest; level < Dense; level++ {
		one := compress(t, content, Options{Level: level, BlockSize: 64 << 10, Workers: 1})
		for range 3 { // and with encoders that were of use before
			if many := compress(t, content, Options{Level: level, BlockSize: 64 << 10, Workers: 4}); !bytes.Equal(one, many) {
				t.Fatalf("%v: %d bytes and %d", level, len(one), len(many))
			}
		}
	}
}

func TestFlushedBlocksAreReadable(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "so far"); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(NewReader(bytes.NewReader(file.Bytes())))
	if string(got) != "so far" || !errors.Is(err, ErrTruncated) {
		t.Errorf("%q, %v", got, err)
	}
}

// line is one of so many bytes, without an end.
type line struct{ left int }

func (l *line) Read(p []byte) (int, error) {
	p = p[:min(len(p), l.left)]
	if len(p) == 0 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = 'a' + byte((l.left-i)*(l.left-i)>>9%17)
	}
	l.left -= len(p)
	return len(p), nil
}

func TestALineOf100MB(t *testing.T) {
	const size = 100_000_000
	var file bytes.Buffer
	w, err := NewWriter(&file, Options{Level: Fastest})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyBuffer(w, &line{size}, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	n, err := NewReader(&file).WriteTo(&comparing{with: &pieces{&line{size}}})
	if err != nil || n != size {
		t.Errorf("%d bytes of %d came back: %v", n, size, err)
	}
}

// pieces reads a thousand bytes at a time.
type pieces struct{ r io.Reader }

func (p *pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), 1000)]) }

type failingWriter struct{ left int }

var errFull = errors.New("no space")

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestAFullDiskIsTold(t *testing.T) {
	for room := 0; room < 20_000; room += 1999 {
		w, err := NewWriter(&failingWriter{room}, Options{BlockSize: minBlockSize, Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		_, written := w.Write(random(20_000))
		if err := w.Close(); !errors.Is(err, errFull) || written != nil && !errors.Is(written, errFull) {
			t.Errorf("room for %d: %v, %v", room, written, err)
		}
	}
}

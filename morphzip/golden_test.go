package morphzip

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/golden anew: only for what is not there yet")

const golden = "testdata/golden"

// golden files are of each level and of each method; what was written once is
// read for ever.
func goldenFiles(t *testing.T) map[string][]byte {
	files := map[string][]byte{}
	for name, content := range map[string][]byte{
		"empty": {}, "byte": {'x'}, "log": logLines(100), "binary": records(300), "code": code(500), "random": random(500),
		"runs": slices.Concat(logLines(20), make([]byte, 5*minRun), []byte("island"), bytes.Repeat([]byte{255}, 2*minRun)),
		"skew": skewed(4000), "json": jsonLines(40),
	} {
		for level := Fastest; level <= Densest; level++ {
			files[fmt.Sprintf("%s%v.mz", name, level)] = compress(t, content, Options{Level: level})
		}
	}
	// Blocks, parts, an index with filters.
	files["parts.mz"] = slices.Concat(compress(t, logLines(200), Options{Level: 3, BlockSize: minBlockSize}), compress(t, random(500), Options{Level: 1}))
	// Each method of bytes alone, chosen or not.
	for m, content := range map[Method][]byte{
		Stored: random(300), Zstd: logLines(50), OrderZero: skewed(3000), Mixing: logLines(50), LogLine: logLines(100), DenseLines: logLines(100),
		DensestBytes: logLines(50), ColumnsZstd: records(500), ColumnsMixing: records(500), X86Zstd: code(600), X86Mixing: code(600),
		ColumnsDensest: records(500), X86Densest: code(600),
	} {
		payload, ok := m.of().encode(8, nil, content)
		if !ok {
			t.Errorf("%v does not fit its content", m)
			continue
		}
		h := frameHeader{method: byte(m), size: uint64(len(content)), payload: len(payload), content: checksum(content)}
		header := appendHeader(nil, 8)
		frame := append(h.append(nil), payload...)
		frame = appendSum(frame, checksum(frame))
		file := slices.Concat(header, frame)
		files[fmt.Sprintf("method%d.mz", m)] = appendEnd(file, header, []indexEntry{{length: uint64(len(frame))}})
	}
	return files
}

// TestGoldenFiles reads what versions before this one wrote. Each file's content
// is known by its digest, in the file SHA256SUMS.
func TestGoldenFiles(t *testing.T) {
	if *update {
		updateGolden(t)
	}
	sums, err := os.ReadFile(filepath.Join(golden, "SHA256SUMS"))
	if os.IsNotExist(err) {
		t.Skip("the payloads' formats are not frozen yet")
	} else if err != nil {
		t.Fatal(err)
	}
	seen := map[Method]bool{}
	for line := range strings.Lines(string(sums)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		file, err := os.ReadFile(filepath.Join(golden, name))
		if err != nil {
			t.Error(err)
			continue
		}
		r := NewReader(bytes.NewReader(file))
		r.visit = func(f *Frame) { seen[f.Method] = true }
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s: its content is %s, it was %s", name, got, want)
		}
	}
	for m, entry := range methods {
		if entry != nil && !seen[Method(m)] {
			t.Errorf("no golden file has a block of method %d, %s", m, entry.name)
		}
	}
}

// updateGolden adds the files that are not there.
func updateGolden(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(golden, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, file := range goldenFiles(t) {
		path := filepath.Join(golden, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.WriteFile(path, file, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	all, err := filepath.Glob(filepath.Join(golden, "*.mz"))
	if err != nil {
		t.Fatal(err)
	}
	var sums strings.Builder
	for _, path := range all {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(NewReader(bytes.NewReader(file)))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), filepath.Base(path))
	}
	if err := os.WriteFile(filepath.Join(golden, "SHA256SUMS"), []byte(sums.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsToBecomeGolden: files of every method come back, before and after
// they are golden.
func TestWhatIsToBecomeGolden(t *testing.T) {
	for name, file := range goldenFiles(t) {
		if _, err := io.Copy(io.Discard, NewReader(bytes.NewReader(file))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

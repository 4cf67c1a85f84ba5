package morphzip

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/golden anew: only for what is not there yet")

const golden = "testdata/golden"

// goldenFile is a file and its content.
type goldenFile struct{ file, content []byte }

// goldenLevels are files of each level.
func goldenLevels(t *testing.T) map[string]goldenFile {
	files := map[string]goldenFile{}
	for name, content := range map[string][]byte{
		"empty": {}, "byte": {'x'}, "log": logLines(100), "binary": records(300), "code": code(500), "random": random(500),
		"runs": slices.Concat(logLines(20), make([]byte, 5*minRun), []byte("island"), bytes.Repeat([]byte{255}, 2*minRun)),
		"skew": skewed(4000), "json": jsonLines(40),
	} {
		for level := Fastest; level <= Densest; level++ {
			files[fmt.Sprintf("%s%v.mz", name, level)] = goldenFile{compress(t, content, Options{Level: level}), content}
		}
	}
	// Blocks, parts, an index with filters.
	first, second := logLines(200), random(500)
	files["parts.mz"] = goldenFile{
		slices.Concat(compress(t, first, Options{Level: 3, BlockSize: minBlockSize}), compress(t, second, Options{Level: 1})),
		slices.Concat(first, second),
	}
	return files
}

// goldenMethods are files of each method alone, whether it would be chosen or not.
func goldenMethods(t *testing.T) map[string]goldenFile {
	files := map[string]goldenFile{}
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
		file := appendEnd(slices.Concat(header, frame), header, []indexEntry{{length: uint64(len(frame))}})
		files[fmt.Sprintf("method%d.mz", m)] = goldenFile{file, content}
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
	if err != nil {
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

// updateGolden adds the files that are not there, and their digests.
func updateGolden(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(golden, 0o777); err != nil {
		t.Fatal(err)
	}
	sums, err := os.OpenFile(filepath.Join(golden, "SHA256SUMS"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer sums.Close()
	all := goldenLevels(t)
	maps.Copy(all, goldenMethods(t))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		path := filepath.Join(golden, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.WriteFile(path, all[name].file, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(sums, "%x  %s\n", sha256.Sum256(all[name].content), name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryMethod: each comes back, chosen or not.
func TestEveryMethod(t *testing.T) {
	files := goldenMethods(t)
	for m, entry := range methods {
		name := fmt.Sprintf("method%d.mz", m)
		if entry == nil {
			continue
		}
		got, err := io.ReadAll(NewReader(bytes.NewReader(files[name].file)))
		if err != nil || !bytes.Equal(got, files[name].content) {
			t.Errorf("%s: %v", entry.name, err)
		}
	}
}

package comparison

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	text := strings.Repeat("a line of a log\n", 10_000)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	gzip := Peers()[0]
	for first, original := range map[int64]int64{0: 160_000, 1000: 1000, 1 << 20: 160_000} {
		r, err := Run(t.Context(), gzip, file, first, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if r.Original != original || r.Compressed == 0 || r.Compressed > original/10 || r.In.Memory == 0 || r.Out.Wall == 0 {
			t.Errorf("first %d: %+v", first, r)
		}
	}
}

func TestRunFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want    string
		program Program
	}{
		{"what came back is not", Program{Name: "shorter", Compress: []string{"cat"}, Decompress: []string{"head", "-c", "99"}}},
		{"what came back is not", Program{Name: "longer", Compress: []string{"cat"}, Decompress: []string{"sed", "s/$/longer/"}}},
		{"exit status 1", Program{Name: "fails", Compress: []string{"false"}}},
		{"not found", Program{Name: "absent", Compress: []string{"no-such-compressor"}}},
	} {
		if _, err := Run(t.Context(), c.program, file, 0, t.TempDir()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.program.Name, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), Peers()[0], empty, 0, t.TempDir()); err == nil {
		t.Error("an empty file was compared")
	}
}

func TestSummarise(t *testing.T) {
	second := Cost{CPU: time.Second, Memory: 5}
	got := Summarise([]Result{
		{Program: "a", Original: 100, Compressed: 10, In: second, Out: second},
		{Program: "b", Original: 100, Compressed: 50, In: second, Out: second},
		{Program: "a", Original: 300, Compressed: 120, In: second, Out: Cost{CPU: time.Second, Memory: 9}},
	})
	if len(got) != 2 || got[0].Program != "a" || got[1].Program != "b" {
		t.Fatalf("got %+v", got)
	}
	if a := got[0]; a.Files != 2 || a.Ratio != 130.0/400 || math.Abs(a.GeometricMean-0.2) > 1e-12 || a.In != 200 || a.Memory != 9 {
		t.Errorf("got %+v", a)
	}
}

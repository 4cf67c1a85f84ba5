package router

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// The same decisions are made on every processor: a program that makes 10,000 is
// built for the first amd64 and for one with fused multiply-add, and every bit of
// what the two decide is compared.
func TestSameBitsOnEveryProcessor(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skipf("builds for two levels of amd64, and runs on %s", runtime.GOARCH)
	}
	if testing.Short() {
		t.Skip("compiles the standard library twice")
	}
	outputs := map[string][]byte{}
	for _, level := range []string{"v1", "v3"} {
		program := filepath.Join(t.TempDir(), "decide-"+level)
		build := exec.Command("go", "build", "-o", program, "./testdata/decide")
		build.Env = append(os.Environ(), "GOAMD64="+level, "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build for %s: %v\n%s", level, err, out)
		}
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "GOAMD64" && s.Value == level }) {
			t.Fatalf("the program for %s was built with %v", level, info.Settings)
		}
		var stderr bytes.Buffer
		run := exec.Command(program)
		run.Stderr = &stderr
		out, err := run.Output()
		if err != nil {
			if strings.Contains(stderr.String(), "microarchitecture support") {
				t.Skipf("this processor is older than %s", level)
			}
			t.Fatalf("%s: %v\n%s", level, err, stderr.Bytes())
		}
		outputs[level] = out
	}
	v1, v3 := bytes.Split(outputs["v1"], []byte("\n")), bytes.Split(outputs["v3"], []byte("\n"))
	if len(v1) < 10_000 {
		t.Fatalf("%d lines, want 10,000 decisions", len(v1))
	}
	for i := range min(len(v1), len(v3)) {
		if !bytes.Equal(v1[i], v3[i]) {
			t.Fatalf("line %d differs:\nv1 %s\nv3 %s", i+1, v1[i], v3[i])
		}
	}
	if len(v1) != len(v3) {
		t.Fatalf("%d lines on v1, %d on v3", len(v1), len(v3))
	}
	for _, word := range []string{"queued", "true", "placed"} {
		if !bytes.Contains(outputs["v1"], []byte(word)) {
			t.Errorf("no decision has %q", word)
		}
	}
}

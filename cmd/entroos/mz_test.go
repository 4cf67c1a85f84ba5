package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mzIn runs `entroos mz` with this standard input.
func mzIn(t *testing.T, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	trial := newTrial("unix:/nowhere")
	trial.stdin = strings.NewReader(stdin)
	status = trial.execute(context.Background(), append([]string{"mz"}, args...))
	return trial.stdout.String(), trial.stderr.String(), status
}

// mzLog is lines as a program may log them.
func mzLog(lines int) string {
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "2027-01-15T08:%02d:%02d worker-%d: request %d took %d ms\n", i/60%60, i%60, i%3, 1000+i, i*i%97)
	}
	return b.String()
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

func names(t *testing.T, folder string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestMzTakesTheFilesPlace(t *testing.T) {
	content := mzLog(2000)
	path := writeFile(t, "a.log", content)
	at := time.Date(2027, 1, 15, 8, 0, 0, 123456789, time.UTC)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ command, before, after string }{
		{"compress", path, path + ".mz"},
		{"decompress", path + ".mz", path},
	} {
		if _, stderr, status := mzIn(t, "", step.command, step.before); status != 0 {
			t.Fatalf("%s: status %d, %s", step.command, status, stderr)
		}
		if got := names(t, filepath.Dir(path)); !slices.Equal(got, []string{filepath.Base(step.after)}) {
			t.Errorf("%s: there are %v", step.command, got)
		}
		info, err := os.Stat(step.after)
		if err != nil || info.Mode() != 0o640 || !info.ModTime().Equal(at) {
			t.Errorf("%s: %v, %v, %v", step.command, info.Mode(), info.ModTime(), err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
}

func TestMzStreams(t *testing.T) {
	content := mzLog(3000)
	for level := 1; level <= 9; level++ {
		compressed, stderr, status := mzIn(t, content, "compress", fmt.Sprintf("-%d", level))
		if status != 0 || len(compressed) >= len(content)/4 {
			t.Fatalf("-%d: status %d, %d bytes, %s", level, status, len(compressed), stderr)
		}
		if got, stderr, status := mzIn(t, compressed, "decompress"); status != 0 || got != content {
			t.Errorf("-%d: status %d, %d bytes, %s", level, status, len(got), stderr)
		}
		if _, stderr, status := mzIn(t, compressed[:len(compressed)-1], "decompress", "-"); status != exitError || !strings.Contains(stderr, "cut short") {
			t.Errorf("-%d, cut short: status %d, %s", level, status, stderr)
		}
	}
}

func TestMzKeepsWhatIsThere(t *testing.T) {
	path := writeFile(t, "a.log", mzLog(100))
	other := path + ".mz"
	if err := os.WriteFile(other, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := mzIn(t, "", "compress", path); status != exitWarning || !strings.Contains(stderr, "a.log.mz exists already; -f overwrites it") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if got, err := os.ReadFile(other); string(got) != "mine" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if _, stderr, status := mzIn(t, "", "compress", "-kf", path); status != 0 {
		t.Errorf("status %d, %s", status, stderr)
	}
	if got := names(t, filepath.Dir(path)); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

func TestMzStatusIsTheWorst(t *testing.T) {
	folder := t.TempDir()
	good := writeFile(t, "a.log", mzLog(10))
	for _, c := range []struct {
		args   string
		status int
		stderr string
	}{
		{"compress " + folder, 2, "is a folder; left out"},
		{"compress -k " + folder + " " + good, 2, "is a folder; left out"},
		{"compress -k " + folder + "/none " + good, 1, "none: no such file"},
		{"decompress " + good, 2, "has not the suffix .mz"},
		{"decompress -c " + good, 1, "not a morphzip file"},
		{"stat " + good, 1, "not a morphzip file"},
		{"stat", 1, "stat needs a FILE"},
		{"recover " + good, 1, "-o FILE"},
		{"recover " + good + " -o " + folder + "/out", 1, "not a morphzip file"},
		{"cat --offset 3", 1, "are for one file"},
		{"compress --what", 1, "unknown flag"},
		{"compress -o x " + good + " " + good, 1, "-o is for one file"},
		{"compress --append", 1, "-o FILE"},
	} {
		if _, stderr, status := mzIn(t, "", strings.Fields(c.args)...); status != c.status || !strings.Contains(stderr, c.stderr) {
			t.Errorf("mz %s: status %d, %s", c.args, status, stderr)
		}
	}
	if got := names(t, folder); len(got) != 0 {
		t.Errorf("%v is left", got)
	}
}

func TestMzIsNotForTerminals(t *testing.T) {
	trial := newTrial("unix:/nowhere")
	trial.columns = func() int { return 80 }
	if status := trial.execute(context.Background(), []string{"mz", "compress"}); status != exitError || trial.stdout.String() != "" {
		t.Errorf("status %d, %q", status, trial.stdout.String())
	}
}

func TestMzAppendsAndReadsParts(t *testing.T) {
	first, second := mzLog(500), mzLog(300)
	path := filepath.Join(t.TempDir(), "all.mz")
	for _, content := range []string{first, second} {
		if _, stderr, status := mzIn(t, content, "compress", "--append", "-o", path); status != 0 {
			t.Fatalf("status %d, %s", status, stderr)
		}
	}
	if got, stderr, status := mzIn(t, "", "cat", path, path); status != 0 || got != first+second+first+second {
		t.Errorf("status %d, %d bytes, %s", status, len(got), stderr)
	}
	from := len(first) - 10
	got, stderr, status := mzIn(t, "", "cat", "--offset", fmt.Sprint(from), "--length", "30", path)
	if status != 0 || got != (first + second)[from:from+30] {
		t.Errorf("status %d, %q, %s", status, got, stderr)
	}
	if got, stderr, status := mzIn(t, "", "cat", "--offset", fmt.Sprint(from), path); status != 0 || got != (first + second)[from:] {
		t.Errorf("status %d, %d bytes, %s", status, len(got), stderr)
	}
	stdout, stderr, status := mzIn(t, "", "stat", "--json", path)
	var stats []mzStat
	if err := json.Unmarshal([]byte(stdout), &stats); err != nil || status != 0 || len(stats) != 1 {
		t.Fatalf("status %d, %v, %s", status, err, stderr)
	}
	info, err := os.Stat(path)
	if s := stats[0]; err != nil || s.Original != uint64(len(first)+len(second)) || s.Stored != uint64(info.Size()) || s.Blocks != 2 || s.Damage != "" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestMzRecovers(t *testing.T) {
	first, second := mzLog(500), mzLog(300)
	a, _, _ := mzIn(t, first, "compress")
	b, _, _ := mzIn(t, second, "compress")
	bad := []byte(a + b)
	bad[len(a)/2] ^= 0x10
	path := writeFile(t, "bad.mz", string(bad))
	out := filepath.Join(t.TempDir(), "out")
	_, stderr, status := mzIn(t, "", "recover", path, "-o", out)
	if status != exitWarning || !strings.Contains(stderr, "an unknown number of bytes from byte 0 on are lost") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != second {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, stderr, status := mzIn(t, "", "decompress", "-k", path); status != exitError || !strings.Contains(stderr, "mz recover") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if got := names(t, filepath.Dir(path)); !slices.Equal(got, []string{"bad.mz"}) {
		t.Errorf("%v", got)
	}
	stdout, stderr, status := mzIn(t, "", "stat", path)
	if status != exitError || !strings.Contains(stdout, "bad.mz") || !strings.Contains(stderr, "damaged") {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
	if got, stderr, status := mzIn(t, a+"and more", "decompress"); status != exitWarning || got != first {
		t.Errorf("status %d, %d bytes, %s", status, len(got), stderr)
	}
}

// TestMzInterrupted: what is interrupted leaves nothing.
func TestMzInterrupted(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	c := exec.Command(self, "mz", "compress", "-o", filepath.Join(folder, "out.mz"))
	c.Env = append(os.Environ(), "ENTROOS_TEST_MAIN=1")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, mzLog(100)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); len(names(t, folder)) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it has begun no file")
		}
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err = c.Wait()
	if code := c.ProcessState.ExitCode(); code != exitSignal+int(syscall.SIGINT) {
		t.Errorf("status %d, %v, %s", code, err, &stderr)
	}
	if left := names(t, folder); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

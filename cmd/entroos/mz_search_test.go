package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMzSearchAsGrep: the output and the status are grep's.
func TestMzSearchAsGrep(t *testing.T) {
	if _, err := exec.LookPath("grep"); err != nil {
		t.Skip("there is no grep to compare with")
	}
	content := mzLog(3000) + "a needle\nab Needle needle\r\nwith \x00 needle\xff\n\nno end"
	path := writeFile(t, "a.log", content)
	compressed := path + ".mz"
	if _, stderr, status := mzIn(t, "", "compress", "-k", path); status != 0 {
		t.Fatal(stderr)
	}
	for _, args := range [][]string{
		{"needle"},
		{"-c", "needle"},
		{"-n", "took 96 ms"},
		{"-v", "request"},
		{"-vc", "request"},
		{"-i", "NEEDLE"},
		{"-o", "needle"},
		{"-on", "-i", "needle"},
		{"-m", "2", "worker-1"},
		{"-m", "0", "worker-1"},
		{"-q", "needle"},
		{"-q", "nothing of it"},
		{"nothing of it"},
		{"-c", "nothing of it"},
		{"-H", "needle"},
		{"no end"},
		{""},
		{"-c", ""},
		{"-e", "needle", "-e", "request 2999 "},
		{"-e", "needle\nno"},
		{"-o", "-e", "request", "-e", "request 17"},
		{"\r"},
		{"-l", "needle"},
		{"-l", "nothing of it"},
		{"-nm", "1", "-v", "2027"},
	} {
		grep := exec.Command("grep", append([]string{"-aF"}, append(args, path)...)...)
		grep.Env = []string{"LC_ALL=C"}
		want, err := grep.Output()
		stdout, stderr, status := mzIn(t, "", append([]string{"search"}, append(args, compressed)...)...)
		stdout = strings.ReplaceAll(stdout, compressed, path)
		if stdout != string(want) || status != grep.ProcessState.ExitCode() {
			t.Errorf("%q: %d bytes, status %d, %s; grep: %d bytes, status %d, %v", args, len(stdout), status, stderr, len(want), grep.ProcessState.ExitCode(), err)
		}
	}
}

func TestMzSearchExpressions(t *testing.T) {
	path := writeFile(t, "a.log", mzLog(500))
	if _, stderr, status := mzIn(t, "", "compress", path); status != 0 {
		t.Fatal(stderr)
	}
	stdout, _, status := mzIn(t, "", "search", "-E", `request 10(0[13]|10)\b`, path+".mz")
	if status != 0 || strings.Count(stdout, "\n") != 3 || !strings.Contains(stdout, "request 1003 ") {
		t.Errorf("status %d:\n%s", status, stdout)
	}
	stdout, _, status = mzIn(t, "", "search", "-oE", "-e", `worker-\d`, "-e", `^2027`, "-m1", path+".mz")
	if status != 0 || stdout != "2027\nworker-0\n" {
		t.Errorf("status %d:\n%s", status, stdout)
	}
}

func TestMzSearchReadsAStream(t *testing.T) {
	compressed, _, status := mzIn(t, mzLog(500), "compress", "-c")
	if status != 0 {
		t.Fatal(status)
	}
	stdout, stderr, status := mzIn(t, compressed, "search", "-n", "request 1499 ")
	if status != 0 || !strings.HasPrefix(stdout, "500:2027") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("status %d, %s:\n%s", status, stderr, stdout)
	}
}

func TestMzSearchFailsAsGrep(t *testing.T) {
	path := writeFile(t, "a.log", mzLog(50))
	if _, stderr, status := mzIn(t, "", "compress", "-k", path); status != 0 {
		t.Fatal(stderr)
	}
	missing := filepath.Join(t.TempDir(), "none.mz")
	for name, args := range map[string][]string{
		"no pattern": {}, "an expression that is none": {"-E", "(", path + ".mz"}, "a missing file": {"request", missing, path + ".mz"}, "a wrong flag": {"--nonsense"}, "what is not compressed": {"request", path},
	} {
		stdout, stderr, status := mzIn(t, "", append([]string{"search"}, args...)...)
		if status != exitSearchError || stderr == "" {
			t.Errorf("%s: status %d, %q", name, status, stderr)
		}
		if name == "a missing file" && strings.Count(stdout, "\n") != 50 {
			t.Errorf("%s: the other file's lines are %d", name, strings.Count(stdout, "\n"))
		}
	}
}

func TestMzSearchTellsWhatItSkipped(t *testing.T) {
	path := writeFile(t, "a.log", strings.Repeat(mzLog(5000), 12)+"the needle\n")
	if _, stderr, status := mzIn(t, "", "compress", path); status != 0 {
		t.Fatal(stderr)
	}
	stdout, stderr, status := mzIn(t, "", "search", "--stats", "the needle", path+".mz")
	if status != 0 || stdout != "the needle\n" || !strings.Contains(stderr, "blocks skipped") || strings.Contains(stderr, ": 0 of") {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
}

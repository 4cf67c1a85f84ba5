//go:build !box

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// simulateOn runs `entroos simulate`, which needs no box.
func simulateOn(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	trial := newTrial("unix:/nowhere")
	status = trial.execute(context.Background(), append([]string{"simulate"}, args...))
	return trial.stdout.String(), trial.stderr.String(), status
}

func TestSimulate(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "pictures")
	stdout, stderr, status := simulateOn(t, "--seed", "3", "--plots", folder)
	for _, want := range []string{
		"500 runs (seeds 3 to 502) of 10 nodes and 50-100 containers; w = 0.7, T = 0.2",
		"MUST BE", "PROTOTYPE", "0.3042", "E_n U(0.3, 1)", "demand U(0.01, 0.08)", "Simulated:", "Measured on this machine",
		filepath.Join(folder, "correlation.svg"),
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	// V(P,c) is measured, beside whatever else this machine does.
	if status != 0 && stderr != "entroos: missed: verification, V(P,c)\n" {
		t.Errorf("status %d, %s", status, stderr)
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 6 {
		t.Errorf("%d pictures, %v", len(files), err)
	}
}

func TestSimulateMissesMarks(t *testing.T) {
	stdout, stderr, status := simulateOn(t, "--runs", "1", "--nodes", "2", "--containers", "400")
	if status != exitError || !strings.Contains(stderr, "missed: ") || !strings.Contains(stderr, "routing success") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if !strings.Contains(stdout, "missed") || !strings.Contains(stdout, "is set for 500 runs or more") {
		t.Error(stdout)
	}
}

// The same seeds give the same bytes, but for what is measured.
func TestSimulateJSON(t *testing.T) {
	var parts [2]json.RawMessage
	for i := range parts {
		stdout, _, _ := simulateOn(t, "--json", "--runs", "3", "--placements")
		var all struct {
			Simulated json.RawMessage
			Measured  struct {
				Median float64 `json:"median_us"`
			}
			Marks []struct{ Name, Verdict string }
		}
		if err := json.Unmarshal([]byte(stdout), &all); err != nil {
			t.Fatal(err)
		}
		if !(all.Measured.Median > 0) || len(all.Marks) != 6 {
			t.Errorf("%+v", all)
		}
		parts[i] = all.Simulated
	}
	if !bytes.Equal(parts[0], parts[1]) {
		t.Error("not the same twice")
	}
	var simulated struct {
		Runs []struct {
			Seed       uint64
			Nodes      []struct{ Entropy float64 }
			Placements []struct{ Node int }
		}
	}
	if err := json.Unmarshal(parts[0], &simulated); err != nil {
		t.Fatal(err)
	}
	if r := simulated.Runs; len(r) != 3 || r[2].Seed != 3 || len(r[0].Nodes) != 10 || len(r[0].Placements) < 50 {
		t.Errorf("%+v", r)
	}
}

func TestSimulateRefuses(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		want   string
		status int
	}{
		{"--nodes 0", "--nodes: 0, must be 1 to 10000", exitUsage},
		{"--nodes -3", "--nodes: -3, must be", exitUsage},
		{"--nodes 99999999999999999999", "value out of range", exitUsage},
		{"--runs 0", "--runs: 0, must be", exitUsage},
		{"--containers 0", "--containers: 0, must be", exitUsage},
		{"--containers 100-50", "--containers: 100-50, the range must rise", exitUsage},
		{"--containers many", "neither a number such as 75 nor a range", exitUsage},
		{"--seed -1", "invalid argument", exitUsage},
		{"--runs 100000 --nodes 10000 --containers 100000", "ask for less", exitUsage},
		{"--placements", "is for --json", exitUsage},
		{"--plots=", "has no name", exitUsage},
		{"surplus", "unknown command", exitUsage},
		{"--runs 1 --plots " + file, "is a file", exitError},
		{"--runs 1 --plots " + filepath.Join(root, "no", "where"), "cannot be made", exitError},
	} {
		stdout, stderr, status := simulateOn(t, strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("%s: status %d, %q, %q; want %d, %q", c.args, status, stdout, stderr, c.status, c.want)
		}
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 1 {
		t.Errorf("%d entries are left, %v", len(entries), err)
	}
}

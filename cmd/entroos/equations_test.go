package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/equations"
)

// CheckEquations of a box that has nothing but a noise source, one of whose
// health tests has failed, unless it is consistent.
func (b *fakeBox) CheckEquations(_ context.Context, r *connect.Request[entroosv1.CheckEquationsRequest]) (*connect.Response[entroosv1.CheckEquationsResponse], error) {
	b.note(r.Msg)
	answer := &entroosv1.CheckEquationsResponse{Hold: 2, Apply: 3, TimeUnixNano: 1_800_000_000_000_000_000}
	for _, row := range equations.Rows() {
		c := &entroosv1.EquationCheck{
			Number: uint32(row.Number), Section: row.Section, Name: row.Name, Formula: row.Formula, Component: row.Component,
			Invariant: row.Invariant, State: entroosv1.EquationCheck_STATE_NOT_APPLICABLE, Seen: "there is none",
		}
		switch row.Number {
		case 3, 4:
			c.State, c.Seen = entroosv1.EquationCheck_STATE_PASS, "0.93"
		case 6:
			c.State, c.Seen = entroosv1.EquationCheck_STATE_FAIL, "a run of 200, the cutoff is 161"
		}
		answer.Checks = append(answer.Checks, c)
	}
	if b.consistent {
		answer.Checks[5].State, answer.Hold = entroosv1.EquationCheck_STATE_PASS, 3
	}
	return connect.NewResponse(answer), nil
}

func TestEquationsCheck(t *testing.T) {
	b, admin := serveFakeBox(t)
	check := func(args ...string) (lines []string, status int) {
		trial := newTrial(admin)
		status = trial.execute(t.Context(), append([]string{"equations", "check"}, args...))
		if stderr := trial.stderr.String(); stderr != "" {
			t.Errorf("stderr %q", stderr)
		}
		return strings.Split(strings.TrimSuffix(trial.stdout.String(), "\n"), "\n"), status
	}
	lines, status := check()
	if len(lines) != 72 || status != 1 {
		t.Fatalf("%d lines, status %d", len(lines), status)
	}
	for i, want := range map[int]string{
		0:  "# NAME RESULT SEEN",
		1:  "1 Shannon entropy n/a there is none",
		3:  "3 Most-common-value min-entropy pass 0.93",
		6:  "6 Repetition count cutoff FAIL a run of 200, the cutoff is 161",
		71: "model consistency: 2 of 3 applicable rows hold (66.67 %), 67 not applicable",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("line %d: %q, want %q", i, got, want)
		}
	}
	lines, status = check("--json")
	var answer struct {
		Checks []struct {
			Number      int
			Name, State string
			Seen        string
		}
		Hold, Apply int
	}
	if err := json.Unmarshal([]byte(strings.Join(lines, "\n")), &answer); err != nil {
		t.Fatal(err)
	}
	if status != 1 || answer.Hold != 2 || answer.Apply != 3 || len(answer.Checks) != 70 {
		t.Errorf("status %d, %d of %d, %d checks", status, answer.Hold, answer.Apply, len(answer.Checks))
	}
	for i, want := range map[int]string{0: "not-applicable", 2: "pass", 5: "fail"} {
		if got := answer.Checks[i].State; got != want {
			t.Errorf("row %d: %q, want %q", i+1, got, want)
		}
	}
	b.consistent = true
	lines, status = check()
	if want := "model consistency: 3 of 3 applicable rows hold (100 %), 67 not applicable"; status != 0 || lines[71] != want {
		t.Errorf("status %d, %q", status, lines[71])
	}
}

// The list needs no box.
func TestEquationsList(t *testing.T) {
	for _, args := range [][]string{{"equations"}, {"equations", "ls"}, {"equations", "list"}} {
		trial := newTrial("unix:" + filepath.Join(t.TempDir(), "nobody.sock"))
		if status := trial.execute(t.Context(), args); status != 0 {
			t.Fatalf("%v: status %d, %s", args, status, trial.stderr.String())
		}
		lines := strings.Split(strings.TrimSuffix(trial.stdout.String(), "\n"), "\n")
		if len(lines) != 71 {
			t.Fatalf("%v: %d lines", args, len(lines))
		}
		if want := "13 Routing score S = (E_n·E_c)²·(C_n − U_n) / (1 + │U_n − T│) router S ≤ C_n; falls as U_n rises"; strings.Join(strings.Fields(lines[13]), " ") != want {
			t.Errorf("%v: %q", args, lines[13])
		}
	}
	trial := newTrial("unix:/nobody")
	var list []equationJSON
	if status := trial.execute(t.Context(), []string{"equations", "--json"}); status != 0 {
		t.Fatal(trial.stderr.String())
	}
	if err := json.Unmarshal([]byte(trial.stdout.String()), &list); err != nil || len(list) != 70 || list[69].Name != "Availability" {
		t.Errorf("%d rows, %v", len(list), err)
	}
	trial = newTrial("unix:/nobody")
	if status := trial.execute(t.Context(), []string{"equations", "chekc"}); status != exitUsage || !strings.Contains(trial.stderr.String(), "did you mean check?") {
		t.Errorf("status %d, %q", status, trial.stderr.String())
	}
}

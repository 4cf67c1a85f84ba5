//go:build !guest

package nko

import (
	"errors"
	"path/filepath"
	"testing"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/runtime"
)

// A power cut: the file is taken as it is while executions are under way.
func TestRecover(t *testing.T) {
	b := newBench(t)
	policies := map[string]entroosv1.RestartPolicy_Mode{
		"no": entroosv1.RestartPolicy_MODE_NO, "always": entroosv1.RestartPolicy_MODE_ALWAYS,
		"unless": entroosv1.RestartPolicy_MODE_UNLESS_STOPPED, "failure": entroosv1.RestartPolicy_MODE_ON_FAILURE,
	}
	for name, mode := range policies {
		spec := job(name)
		spec.Restart = &entroosv1.RestartPolicy{Mode: mode}
		if _, _, err := b.Run(t.Context(), spec, runtime.IO{}); err != nil {
			t.Fatal(err)
		}
	}
	spec := job("stopped")
	spec.Restart = &entroosv1.RestartPolicy{Mode: entroosv1.RestartPolicy_MODE_UNLESS_STOPPED}
	if _, _, err := b.Run(t.Context(), spec, runtime.IO{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Stop(t.Context(), "stopped", 0); err != nil {
		t.Fatal(err)
	}
	spec = job("remove")
	spec.Remove = true
	if _, _, err := b.Run(t.Context(), spec, runtime.IO{}); err != nil {
		t.Fatal(err)
	}

	after := &bench{engine: newFakeEngine(), path: filepath.Join(t.TempDir(), "copy.db")}
	copyFile(t, b.path, after.path)
	after.open(t)
	defer after.shut(t)
	if after.store.Node != b.store.Node || after.store.ChainID != b.store.ChainID {
		t.Fatal("another identity after a power cut")
	}
	if err := after.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := after.receipts(t)
	if len(all) != 6 {
		t.Fatalf("%d receipts", len(all))
	}
	for _, r := range all[1:] { // the first is that of the stopped one
		if r.Outcome != ledger.OutcomeInterrupted || r.ExitCode != exitUnknown || r.Usage != unmeasured || r.StdoutDigest != emptyDigest {
			t.Errorf("receipt %+v", r)
		}
	}
	after.Resume(t.Context())
	for name, want := range map[string]entroosv1.ContainerState{
		"no":      entroosv1.ContainerState_CONTAINER_STATE_EXITED,
		"always":  entroosv1.ContainerState_CONTAINER_STATE_RUNNING,
		"unless":  entroosv1.ContainerState_CONTAINER_STATE_RUNNING,
		"failure": entroosv1.ContainerState_CONTAINER_STATE_RUNNING,
		"stopped": entroosv1.ContainerState_CONTAINER_STATE_EXITED,
	} {
		if c, err := after.Get(name); err != nil || c.GetState() != want {
			t.Errorf("%s after the boot: %v %v", name, c.GetState(), err)
		}
	}
	if _, err := after.Get("remove"); !errors.Is(err, ErrNoContainer) {
		t.Errorf("a container to be removed survived the power cut: %v", err)
	}
}

// A power cut between executions: there is no start record.
func TestResumeBetweenExecutions(t *testing.T) {
	b := newBench(t)
	const restarting, exited = entroosv1.ContainerState_CONTAINER_STATE_RESTARTING, entroosv1.ContainerState_CONTAINER_STATE_EXITED
	const running, created = entroosv1.ContainerState_CONTAINER_STATE_RUNNING, entroosv1.ContainerState_CONTAINER_STATE_CREATED
	const no, failure = entroosv1.RestartPolicy_MODE_NO, entroosv1.RestartPolicy_MODE_ON_FAILURE
	cases := []struct {
		name          string
		mode          entroosv1.RestartPolicy_Mode
		remove        bool
		stopped       bool
		before, after entroosv1.ContainerState
		gone          bool
	}{
		{name: "backoff", mode: failure, before: restarting, after: running},
		{name: "given-up", mode: failure, before: exited, after: exited},
		{name: "stopped-backoff", mode: failure, stopped: true, before: restarting, after: exited},
		{name: "stopped-unless", mode: entroosv1.RestartPolicy_MODE_UNLESS_STOPPED, stopped: true, before: restarting, after: exited},
		{name: "unless", mode: entroosv1.RestartPolicy_MODE_UNLESS_STOPPED, before: restarting, after: running},
		{name: "no-record", mode: no, before: running, after: exited},
		{name: "rm-ended", mode: no, remove: true, before: exited, gone: true},
		{name: "rm-created", mode: no, remove: true, before: created, gone: true},
		{name: "kept", mode: no, before: exited, after: exited},
	}
	for _, tt := range cases {
		spec := job(tt.name)
		spec.Restart, spec.Remove = &entroosv1.RestartPolicy{Mode: tt.mode}, tt.remove
		c := &entroosv1.Container{Id: tt.name, Spec: spec, ImageDigest: "sha256:01", State: tt.before, Pid: 4}
		if err := errors.Join(b.store.PutContainer(c), b.store.SetStopped(tt.name, tt.stopped)); err != nil {
			t.Fatal(err)
		}
	}
	b.shut(t)
	b.open(t)
	if err := b.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Resume(t.Context())
	kept, _, err := b.store.Containers()
	if err != nil {
		t.Fatal(err)
	}
	onDisk := make(map[string]entroosv1.ContainerState)
	for _, c := range kept {
		onDisk[c.GetId()] = c.GetState()
	}
	for _, tt := range cases {
		c, err := b.Get(tt.name)
		switch state, there := onDisk[tt.name]; {
		case tt.gone:
			if there || !errors.Is(err, ErrNoContainer) {
				t.Errorf("%s is not removed: %v %v", tt.name, state, err)
			}
		case err != nil || c.GetState() != tt.after || state != tt.after:
			t.Errorf("%s: %v, on the disk %v, error %v", tt.name, c.GetState(), state, err)
		}
	}
}

// A power cut counts as one of the retries of a container that has a number of
// them.
func TestRetriesAcrossPowerCuts(t *testing.T) {
	b := newBench(t)
	spec := job("limited")
	spec.Restart = &entroosv1.RestartPolicy{Mode: entroosv1.RestartPolicy_MODE_ON_FAILURE, MaxRetries: 2}
	if _, _, err := b.Run(t.Context(), spec, runtime.IO{}); err != nil {
		t.Fatal(err)
	}
	benches := []*bench{b}
	for cut, running := range []bool{true, true, false} {
		last := benches[len(benches)-1]
		after := &bench{engine: newFakeEngine(), path: filepath.Join(t.TempDir(), "copy.db")}
		copyFile(t, last.path, after.path)
		after.open(t)
		defer after.shut(t)
		if err := after.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		after.Resume(t.Context())
		want := entroosv1.ContainerState_CONTAINER_STATE_EXITED
		if running {
			want = entroosv1.ContainerState_CONTAINER_STATE_RUNNING
		}
		if c, err := after.Get("limited"); err != nil || c.GetState() != want || int(c.GetRestarts()) != min(cut+1, 2) {
			t.Errorf("after power cut %d: %v after %d restarts, %v", cut+1, c.GetState(), c.GetRestarts(), err)
		}
		benches = append(benches, after)
	}
}

//go:build !guest

package nko

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/runtime"
)

func TestRunLeavesReceipt(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		name   string
		result runtime.Result
		want   ledger.Outcome
	}{
		{"zero", runtime.Result{}, ledger.OutcomeExited},
		{"three", runtime.Result{ExitCode: 3, StdoutDigest: [32]byte{9}}, ledger.OutcomeExited},
		{"killed", runtime.Result{ExitCode: 137, Signal: 9}, ledger.OutcomeSignaled},
		{"oom", runtime.Result{ExitCode: 137, Signal: 9, OOMKilled: true}, ledger.OutcomeOOMKilled},
		{"oomchild", runtime.Result{ExitCode: 1, OOMKilled: true}, ledger.OutcomeExited},
	} {
		c, e, err := b.Run(t.Context(), job(tt.name), runtime.IO{})
		if err != nil {
			t.Fatal(err)
		}
		if c.GetState() != entroosv1.ContainerState_CONTAINER_STATE_RUNNING || c.GetPid() != 4711 || c.GetIpAddress() != "10.88.0.2" {
			t.Errorf("%s: while it runs: %v", tt.name, c)
		}
		starts, err := b.store.Starts()
		if err != nil || len(starts) != 1 || starts[0].Container != c.GetId() {
			t.Fatalf("start records %v, error %v", starts, err)
		}
		select {
		case <-e.Done():
			t.Fatal("ended before its process did")
		default:
		}
		(<-b.engine.created).end(tt.result)
		<-e.Done()
		all := b.receipts(t)
		r := all[len(all)-1]
		if e.Exited().GetReceiptSequence() != r.Sequence || e.Exited().GetReceiptP() != fmt.Sprintf("%x", r.Proof) {
			t.Errorf("%s: told of another receipt: %v", tt.name, e.Exited())
		}
		if r.Outcome != tt.want || r.ExitCode != int32(tt.result.ExitCode) || r.Signal != int32(tt.result.Signal) ||
			r.OOMKilled != tt.result.OOMKilled || r.StdoutDigest != tt.result.StdoutDigest || r.Nonce != starts[0].Nonce {
			t.Errorf("%s: receipt %+v", tt.name, r)
		}
		if starts, err := b.store.Starts(); err != nil || len(starts) != 0 {
			t.Errorf("%s: start record left: %v %v", tt.name, starts, err)
		}
	}
}

func TestRunThatDoesNotStart(t *testing.T) {
	b := newBench(t)
	if _, _, err := b.Run(t.Context(), &entroosv1.WorkloadSpec{Name: "x"}, runtime.IO{}); !errors.Is(err, runtime.ErrInvalid) {
		t.Fatalf("a spec without an image: %v", err)
	}
	if n := len(b.List(true)); n != 0 {
		t.Fatalf("a refused spec left %d containers", n)
	}
	b.engine.createErr = errors.New("no such program")
	spec := job("nothing")
	spec.Restart = &entroosv1.RestartPolicy{Mode: entroosv1.RestartPolicy_MODE_ALWAYS}
	c, e, err := b.Run(t.Context(), spec, runtime.IO{})
	if err == nil || c == nil {
		t.Fatalf("container %v, error %v", c, err)
	}
	<-e.Done()
	all := b.receipts(t)
	if len(all) != 1 || all[0].Outcome != ledger.OutcomeStartFailed || all[0].Usage.WallMicros != ledger.NotMeasured {
		t.Fatalf("receipts: %+v", all)
	}
	b.engine.createErr, b.engine.startErr = nil, errors.New("exec format error")
	if _, _, err = b.Run(t.Context(), job("started"), runtime.IO{}); err == nil {
		t.Fatal("no error from a failed start")
	}
	f := <-b.engine.created
	eventually(t, "the failed container is closed", func() bool { return f.closed })
	if all := b.receipts(t); len(all) != 2 || all[1].Outcome != ledger.OutcomeStartFailed {
		t.Fatalf("receipts: %+v", all)
	}
}

func TestNames(t *testing.T) {
	b := newBench(t)
	for _, bad := range []string{"-x", "a b", "ä", "x/y", string(make([]byte, 64))} {
		if _, _, err := b.Run(t.Context(), job(bad), runtime.IO{}); !errors.Is(err, ErrBadName) {
			t.Errorf("name %q: %v", bad, err)
		}
	}
	if _, _, err := b.Run(t.Context(), job("web"), runtime.IO{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Run(t.Context(), job("web"), runtime.IO{}); !errors.Is(err, ErrNameTaken) {
		t.Errorf("same name again: %v", err)
	}
	c, _, err := b.Run(t.Context(), job(""), runtime.IO{})
	if err != nil || !namePattern.MatchString(c.GetSpec().GetName()) {
		t.Fatalf("own name %v, error %v", c, err)
	}
	for _, id := range []string{c.GetId(), c.GetId()[:12], c.GetSpec().GetName()} {
		if got, err := b.Get(id); err != nil || got.GetId() != c.GetId() {
			t.Errorf("find %q: %v %v", id, got, err)
		}
	}
	if _, err := b.Get("nobody"); !errors.Is(err, ErrNoContainer) {
		t.Errorf("find nobody: %v", err)
	}
}

func TestRestartPolicies(t *testing.T) {
	b := newBench(t)
	spec := job("flaky")
	spec.Restart = &entroosv1.RestartPolicy{Mode: entroosv1.RestartPolicy_MODE_ON_FAILURE, MaxRetries: 2}
	c, _, err := b.Run(t.Context(), spec, runtime.IO{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		(<-b.engine.created).end(runtime.Result{ExitCode: 1})
	}
	eventually(t, "the container is left after two retries", func() bool {
		now, err := b.Get(c.GetId())
		return err == nil && now.GetState() == entroosv1.ContainerState_CONTAINER_STATE_EXITED && now.GetRestarts() == 2 && len(b.receipts(t)) == 3
	})

	spec = job("always")
	spec.Restart = &entroosv1.RestartPolicy{Mode: entroosv1.RestartPolicy_MODE_ALWAYS}
	if _, _, err := b.Run(t.Context(), spec, runtime.IO{}); err != nil {
		t.Fatal(err)
	}
	(<-b.engine.created).end(runtime.Result{})
	<-b.engine.created // it is back
	stopped, err := b.Stop(t.Context(), "always", 0)
	if err != nil || stopped.GetState() != entroosv1.ContainerState_CONTAINER_STATE_EXITED || stopped.GetSignal() != 15 {
		t.Fatalf("stopped: %v %v", stopped, err)
	}
	if len(b.engine.created) != 0 {
		t.Fatal("a stopped container came back")
	}
	if c, err := b.Start("always"); err != nil || c.GetState() != entroosv1.ContainerState_CONTAINER_STATE_RUNNING {
		t.Fatalf("started again: %v %v", c, err)
	}
	<-b.engine.created
	if err := b.Kill(t.Context(), "always", int(unix.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "killed for good", func() bool {
		now, err := b.Get("always")
		return err == nil && now.GetState() == entroosv1.ContainerState_CONTAINER_STATE_EXITED
	})
}

func TestStopWhileItWaitsForRestart(t *testing.T) {
	b := newBench(t)
	spec := job("looping")
	spec.Restart = &entroosv1.RestartPolicy{Mode: entroosv1.RestartPolicy_MODE_ALWAYS}
	if _, _, err := b.Run(t.Context(), spec, runtime.IO{}); err != nil {
		t.Fatal(err)
	}
	for range 4 { // until the pauses are long enough to be met
		(<-b.engine.created).end(runtime.Result{ExitCode: 1})
	}
	eventually(t, "it is restarting", func() bool {
		c, err := b.Get("looping")
		return err == nil && c.GetState() == entroosv1.ContainerState_CONTAINER_STATE_RESTARTING
	})
	if c, err := b.Stop(t.Context(), "looping", 0); err != nil || c.GetState() != entroosv1.ContainerState_CONTAINER_STATE_EXITED {
		t.Fatalf("%v %v", c, err)
	}
}

func TestRemove(t *testing.T) {
	b := newBench(t)
	spec := job("once")
	spec.Remove = true
	c, e, err := b.Run(t.Context(), spec, runtime.IO{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(t.Context(), "once", false); !errors.Is(err, ErrRunning) {
		t.Fatalf("remove while it runs: %v", err)
	}
	(<-b.engine.created).end(runtime.Result{})
	<-e.Done()
	if _, err := b.Get(c.GetId()); !errors.Is(err, ErrNoContainer) {
		t.Fatalf("a container to be removed is there at its end: %v", err)
	}
	if _, _, err := b.Run(t.Context(), job("forced"), runtime.IO{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(t.Context(), "forced", true); err != nil {
		t.Fatal(err)
	}
	if n := len(b.List(true)); n != 0 || len(b.engine.removed) != 2 {
		t.Fatalf("%d containers left, removed %v", n, b.engine.removed)
	}
	if n := len(b.receipts(t)); n != 2 {
		t.Fatalf("%d receipts", n)
	}
}

func TestCloseStopsAllAndWritesReceipts(t *testing.T) {
	b := newBench(t)
	const n = 20
	for range n {
		spec := job("")
		spec.Restart = &entroosv1.RestartPolicy{Mode: entroosv1.RestartPolicy_MODE_ALWAYS}
		if _, _, err := b.Run(t.Context(), spec, runtime.IO{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Workloads.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(b.receipts(t)); got != n {
		t.Fatalf("%d receipts", got)
	}
	if _, _, err := b.Run(t.Context(), job("late"), runtime.IO{}); !errors.Is(err, ErrStopping) {
		t.Fatalf("run while the box stops: %v", err)
	}
}

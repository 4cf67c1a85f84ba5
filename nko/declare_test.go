//go:build !guest

package nko

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime"
)

func declaredSpec(name string, mode entroosv1.RestartPolicy_Mode, args ...string) *entroosv1.WorkloadSpec {
	return &entroosv1.WorkloadSpec{Name: name, Image: "image", Args: args, Restart: &entroosv1.RestartPolicy{Mode: mode}}
}

func (b *bench) declareAll(t *testing.T, boot bool, specs ...*entroosv1.WorkloadSpec) {
	t.Helper()
	for _, err := range b.Declare(t.Context(), specs, Declaration{Boot: boot}) {
		t.Error(err)
	}
}

func (b *bench) ids() map[string]string {
	ids := make(map[string]string)
	for _, c := range b.List(true) {
		ids[c.GetSpec().GetName()] = c.GetId()
	}
	return ids
}

func TestDeclare(t *testing.T) {
	const always = entroosv1.RestartPolicy_MODE_ALWAYS
	b := newBench(t)
	hand, _, err := b.Run(t.Context(), &entroosv1.WorkloadSpec{Name: "hand", Image: "image", Args: []string{"x"}}, runtime.IO{})
	if err != nil {
		t.Fatal(err)
	}
	one, two := declaredSpec("one", always, "1"), declaredSpec("two", always, "2")
	b.declareAll(t, true, one, two)
	first := b.ids()
	if len(first) != 3 || len(b.List(false)) != 3 {
		t.Fatalf("containers %v, %d running", first, len(b.List(false)))
	}
	b.declareAll(t, false, one, two)
	if again := b.ids(); again["one"] != first["one"] || again["two"] != first["two"] {
		t.Errorf("what has not changed was made anew: %v, was %v", again, first)
	}
	if failed := b.Declare(t.Context(), nil, Declaration{Partial: true}); len(failed) != 0 || len(b.ids()) != 3 {
		t.Errorf("%v; a partial declaration leaves %v", failed, b.ids())
	}
	differs := proto.CloneOf(one)
	differs.Args = []string{"built in"}
	if failed := b.Declare(t.Context(), []*entroosv1.WorkloadSpec{differs}, Declaration{Partial: true}); len(failed) != 0 || b.ids()["one"] != first["one"] {
		t.Errorf("%v; a partial declaration replaces: %v, was %v", failed, b.ids(), first)
	}
	third := declaredSpec("three", always, "3")
	if failed := b.Declare(t.Context(), []*entroosv1.WorkloadSpec{differs, third}, Declaration{Partial: true}); len(failed) != 0 || b.ids()["three"] == "" {
		t.Errorf("%v; a partial declaration does not make what is missing: %v", failed, b.ids())
	}
	changed := proto.CloneOf(one)
	changed.Args = []string{"other"}
	b.declareAll(t, false, changed)
	last := b.ids()
	if last["one"] == "" || last["one"] == first["one"] {
		t.Error("what has changed was not made anew")
	}
	if c, err := b.Get("one"); err != nil || c.GetSpec().GetArgs()[0] != "other" || !c.GetSpec().GetDeclared() {
		t.Errorf("%v, %v", c, err)
	}
	if last["two"] != "" {
		t.Error("what is not declared any more is still there")
	}
	if last["hand"] != hand.GetId() {
		t.Error("a container made by hand is gone")
	}
	// The operator's stop holds until the next boot.
	if _, err := b.Stop(t.Context(), "one", 0); err != nil {
		t.Fatal(err)
	}
	b.declareAll(t, false, changed)
	if c, _ := b.Get("one"); c.GetState() != entroosv1.ContainerState_CONTAINER_STATE_EXITED {
		t.Errorf("what an operator has stopped is %v", c.GetState())
	}
}

func TestDeclareJobAtBoot(t *testing.T) {
	b := newBench(t)
	job := declaredSpec("job", entroosv1.RestartPolicy_MODE_NO, "1")
	b.declareAll(t, true, job)
	(<-b.engine.created).end(runtime.Result{})
	ended := func() bool {
		c, err := b.Get("job")
		return err == nil && c.GetState() == entroosv1.ContainerState_CONTAINER_STATE_EXITED
	}
	eventually(t, "the job ends", ended)
	b.declareAll(t, false, job)
	if !ended() {
		t.Error("a job that has ended was started again without a boot")
	}
	b.shut(t)
	b.open(t)
	b.Resume(t.Context())
	b.declareAll(t, true, job)
	if c, err := b.Get("job"); err != nil || c.GetState() != entroosv1.ContainerState_CONTAINER_STATE_RUNNING {
		t.Errorf("after a boot the job is %v, %v", c, err)
	}
}

func TestDeclareFollowsTheImage(t *testing.T) {
	b := newBench(t)
	spec := declaredSpec("one", entroosv1.RestartPolicy_MODE_ALWAYS, "1")
	b.declareAll(t, true, spec)
	before := b.ids()["one"]
	b.engine.mu.Lock()
	b.engine.digest = [32]byte{9}
	b.engine.mu.Unlock()
	if failed := b.Declare(t.Context(), []*entroosv1.WorkloadSpec{spec}, Declaration{Partial: true}); len(failed) != 0 || b.ids()["one"] != before {
		t.Errorf("%v; a partial declaration follows the image", failed)
	}
	b.declareAll(t, false, spec)
	if after := b.ids()["one"]; after == before || after == "" {
		t.Error("the container of an older image was kept")
	}
}

func TestDeclareErrors(t *testing.T) {
	const always = entroosv1.RestartPolicy_MODE_ALWAYS
	b := newBench(t)
	if _, _, err := b.Run(t.Context(), &entroosv1.WorkloadSpec{Name: "hand", Image: "image", Args: []string{"x"}}, runtime.IO{}); err != nil {
		t.Fatal(err)
	}
	good, bad := declaredSpec("good", always, "1"), declaredSpec("bad", always, "1")
	b.declareAll(t, true, good, bad)
	before := b.ids()
	bad.Image = "" // cannot be resolved
	failed := b.Declare(t.Context(), []*entroosv1.WorkloadSpec{bad, declaredSpec("hand", always, "y"), good}, Declaration{})
	if len(failed) != 2 || !errors.Is(failed[0], runtime.ErrInvalid) || !errors.Is(failed[1], ErrNameTaken) {
		t.Errorf("errors %v", failed)
	}
	if after := b.ids(); after["bad"] != before["bad"] || after["good"] != before["good"] || after["hand"] != before["hand"] || len(b.List(false)) != 3 {
		t.Errorf("containers %v, were %v", after, before)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if failed := b.Declare(ctx, []*entroosv1.WorkloadSpec{good, bad}, Declaration{}); len(failed) == 0 || !errors.Is(failed[len(failed)-1], context.Canceled) {
		t.Errorf("after its context's end: %v", failed)
	}
}

// TestDeclareStartsAgain: what could not be started is tried again, and told of
// for as long as it does not run.
func TestDeclareStartsAgain(t *testing.T) {
	for _, mode := range []entroosv1.RestartPolicy_Mode{
		entroosv1.RestartPolicy_MODE_ALWAYS, entroosv1.RestartPolicy_MODE_UNLESS_STOPPED,
		entroosv1.RestartPolicy_MODE_ON_FAILURE, entroosv1.RestartPolicy_MODE_NO,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			b := newBench(t)
			noProgram := errors.New("no such program")
			fail := func(err error) {
				b.engine.mu.Lock()
				defer b.engine.mu.Unlock()
				b.engine.createErr = err
			}
			spec := declaredSpec("one", mode, "1")
			declare := func() []error {
				return b.Declare(t.Context(), []*entroosv1.WorkloadSpec{spec}, Declaration{})
			}
			due := func() {
				task, err := b.find("one")
				if err != nil {
					t.Fatal(err)
				}
				eventually(t, "the failed start is over", func() bool { return !task.active() })
				task.mu.Lock()
				defer task.mu.Unlock()
				if wait := time.Until(task.failed.again); wait <= 0 || wait > startBackoff.Max {
					t.Errorf("the next start is due in %v", wait)
				}
				task.failed.again = time.Now()
			}
			fail(noProgram)
			for starts := 1; starts <= 3; starts++ {
				for range 2 { // the second is too early for a start
					if failed := declare(); len(failed) != 1 || !errors.Is(failed[0], noProgram) {
						t.Fatalf("after %d starts: %v", starts, failed)
					}
				}
				if got := len(b.receipts(t)); got != starts {
					t.Errorf("%d starts, want %d", got, starts)
				}
				due()
			}
			// An operator's stop holds.
			if _, err := b.Stop(t.Context(), "one", 0); err != nil {
				t.Fatal(err)
			}
			fail(nil)
			if failed := declare(); len(failed) != 0 || len(b.List(false)) != 0 {
				t.Errorf("stopped by an operator: %v, running: %v", failed, b.List(false))
			}
			fail(noProgram)
			if _, err := b.Start("one"); !errors.Is(err, noProgram) {
				t.Fatal(err)
			}
			due()
			fail(nil)
			if failed := declare(); len(failed) != 0 || len(b.List(false)) != 1 {
				t.Errorf("what can be started: %v, running: %v", failed, b.List(false))
			}
			// One that has run and ended is not started again.
			(<-b.engine.created).end(runtime.Result{})
			if mode == entroosv1.RestartPolicy_MODE_NO {
				eventually(t, "it ends", func() bool { return len(b.List(false)) == 0 })
				if failed := declare(); len(failed) != 0 || len(b.List(false)) != 0 {
					t.Errorf("a job that has run: %v, running: %v", failed, b.List(false))
				}
			}
		})
	}
}

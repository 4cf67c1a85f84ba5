//go:build !guest

package nko

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/runtime"
)

// fakeEngine runs nothing: its containers end when the test says so. The real
// runtime is tested with Workloads in a virtual machine.
type fakeEngine struct {
	mu        sync.Mutex
	created   chan *fakeContainer
	createErr error
	startErr  error
	removed   []string
	onCreate  func(id string)
	panics    bool // at a container's start
	digest    [32]byte
}

func newFakeEngine() *fakeEngine {
	return &fakeEngine{created: make(chan *fakeContainer, 100), digest: [32]byte{1, 2, 3}}
}

func (f *fakeEngine) Resolve(spec *entroosv1.WorkloadSpec) (*runtime.Workload, error) {
	if spec.GetImage() == "" {
		return nil, runtime.ErrInvalid
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return &runtime.Workload{Args: spec.GetArgs(), ImageDigest: f.digest, StopSignal: 15, StopTimeoutSeconds: 10}, nil
}

func (f *fakeEngine) Create(_ context.Context, id string, _ *runtime.Workload, _ runtime.IO) (Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onCreate != nil {
		f.onCreate(id)
	}
	if f.createErr != nil {
		return nil, f.createErr
	}
	c := &fakeContainer{id: id, done: make(chan struct{}), startErr: f.startErr, panics: f.panics}
	f.created <- c
	return c, nil
}

func (f *fakeEngine) Remove(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed = append(f.removed, id)
	return nil
}

func (f *fakeEngine) Recover(context.Context) error { return nil }

type fakeContainer struct {
	id       string
	startErr error
	panics   bool // at its start
	once     sync.Once
	done     chan struct{}
	result   runtime.Result
	closed   bool
}

func (c *fakeContainer) end(r runtime.Result) {
	c.once.Do(func() {
		r.Finished = time.Now()
		if r.Started.IsZero() {
			r.Started = r.Finished.Add(-time.Second)
		}
		c.result = r
		close(c.done)
	})
}
func (c *fakeContainer) Done() <-chan struct{}       { return c.done }
func (c *fakeContainer) Result() runtime.Result      { return c.result }
func (c *fakeContainer) Resize(uint32, uint32) error { return nil }
func (c *fakeContainer) PID() int                    { return 4711 }
func (c *fakeContainer) IP() netip.Addr              { return netip.MustParseAddr("10.88.0.2") }
func (c *fakeContainer) Close(context.Context) error { c.closed = true; return nil }
func (c *fakeContainer) Start(context.Context) error {
	if c.panics {
		panic("start")
	}
	return c.startErr
}

func (c *fakeContainer) Kill(_ context.Context, s int) error {
	c.end(runtime.Result{Signal: s, ExitCode: 128 + s})
	return nil
}

func (c *fakeContainer) Stop(ctx context.Context, _ time.Duration) error { return c.Kill(ctx, 15) }

func (c *fakeContainer) Exec(context.Context, runtime.ExecSpec, runtime.IO) (int, error) {
	return 0, errors.New("not here")
}

type bench struct {
	*Workloads
	store  *Store
	engine *fakeEngine
	path   string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{engine: newFakeEngine(), path: filepath.Join(t.TempDir(), "entroos.db")}
	b.open(t)
	t.Cleanup(func() { b.shut(t) })
	return b
}

func (b *bench) open(t *testing.T) {
	t.Helper()
	var err error
	if b.store, err = OpenStore(b.path); err != nil {
		t.Fatal(err)
	}
	if b.Workloads, err = NewWorkloads(b.store, b.engine, func() {}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) shut(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.Workloads.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := b.store.Close(); err != nil {
		t.Error(err)
	}
}

// receipts gives all receipts in the outbox, verified and in one chain.
func (b *bench) receipts(t *testing.T) []*ledger.Receipt {
	t.Helper()
	waiting, err := b.store.Outbox(0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var all []*ledger.Receipt
	var previous [32]byte
	for i, w := range waiting {
		r := new(ledger.Receipt)
		if err := r.UnmarshalBinary(w.Receipt); err != nil {
			t.Fatal(err)
		}
		if err := r.Verify(); err != nil {
			t.Fatalf("receipt %d: %v", w.Sequence, err)
		}
		if r.Sequence != uint64(i+1) || w.Sequence != r.Sequence || r.Previous != previous ||
			r.Node != b.store.Node || r.ChainID != b.store.ChainID {
			t.Fatalf("receipt %d is out of place: %+v", i+1, r)
		}
		previous = r.Proof
		all = append(all, r)
	}
	return all
}

func job(name string) *entroosv1.WorkloadSpec {
	return &entroosv1.WorkloadSpec{Name: name, Image: "busybox", Args: []string{"true"}}
}

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

// A panic after the start record leaves a receipt, and the container can be
// started and removed.
func TestPanicEndsExecution(t *testing.T) {
	b := newBench(t)
	b.engine.panics = true
	c, e, err := b.Run(t.Context(), job("panics"), runtime.IO{})
	if err == nil || c == nil {
		t.Fatalf("container %v, error %v", c, err)
	}
	<-e.Done()
	f := <-b.engine.created
	eventually(t, "the container is free", func() bool {
		task, err := b.find("panics")
		return err == nil && !task.active()
	})
	if !f.closed || f.result.Signal != int(unix.SIGKILL) {
		t.Errorf("the container is left: closed %t, %+v", f.closed, f.result)
	}
	all := b.receipts(t)
	if len(all) != 1 || all[0].Outcome != ledger.OutcomeInterrupted || e.Exited().GetReceiptSequence() != 1 {
		t.Fatalf("receipts %+v, end %v", all, e.Exited())
	}
	if now, err := b.Get("panics"); err != nil || now.GetState() != entroosv1.ContainerState_CONTAINER_STATE_EXITED || now.GetPid() != 0 {
		t.Errorf("after the panic: %v %v", now, err)
	}
	b.engine.panics = false
	if _, err := b.Start("panics"); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(t.Context(), "panics", true); err != nil {
		t.Fatal(err)
	}

	b.engine.onCreate = func(string) { panic("create") }
	if _, _, err := b.Run(t.Context(), job("unmade"), runtime.IO{}); err == nil {
		t.Fatal("no error from a panic")
	}
	b.engine.onCreate = nil
	if all := b.receipts(t); len(all) != 3 || all[2].Outcome != ledger.OutcomeStartFailed {
		t.Fatalf("receipts %+v", all)
	}
	if starts, err := b.store.Starts(); err != nil || len(starts) != 0 {
		t.Fatalf("start records %v, error %v", starts, err)
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

// The start record is on the disk before the process starts, whatever happens
// in between.
func TestStoreFailureStartsNothing(t *testing.T) {
	b := newBench(t)
	t.Run("begin fails", func(t *testing.T) {
		c, err := b.create(job("double"))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.store.Begin(StartRecord{Container: c.id}, c.get()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Start("double"); err == nil {
			t.Fatal("started without a start record of its own")
		}
		f := <-b.engine.created
		eventually(t, "the container is discarded", func() bool { return f.closed })
		if n := len(b.receipts(t)); n != 0 {
			t.Fatalf("%d receipts", n)
		}
	})
}

//go:build !guest

package nko

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

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

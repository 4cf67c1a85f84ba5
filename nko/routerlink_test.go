//go:build !guest

package nko

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/router/service"
	"github.com/entroos/entroos/runtime"
)

// routerd is the real service on a real socket; it can be killed as its process
// would be, and comes back knowing nothing.
type routerd struct {
	t      *testing.T
	socket string
	server *http.Server
}

func (r *routerd) start() {
	r.t.Helper()
	s, err := service.New(slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	r.serve(s.Handler())
}

func (r *routerd) serve(h http.Handler) {
	r.t.Helper()
	listener, err := net.Listen("unix", r.socket)
	if err != nil {
		r.t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	r.server = &http.Server{Handler: h, Protocols: protocols}
	server := r.server
	go func() { _ = server.Serve(listener) }()
}

// kill cuts all connections; the listener removes its socket.
func (r *routerd) kill() {
	if r.server != nil {
		_ = r.server.Close()
		r.server = nil
	}
}

type placedBench struct {
	*bench
	routerd *routerd
	link    *RouterLink

	mu    sync.Mutex
	facts NodeFacts
}

const thisNode = "0123456789abcdef"

// newPlacedBench has a node of one core and 100 MiB, whose workloads are placed
// by a routerd that does not run yet.
func newPlacedBench(t *testing.T) *placedBench {
	t.Helper()
	b := &placedBench{
		routerd: &routerd{t: t, socket: filepath.Join(t.TempDir(), "r.sock")},
		facts: NodeFacts{
			Node:   &entroosv1.RouterNode{Id: thisNode, Hostname: "cellar", CpuMilli: 1000, MemoryBytes: 100 << 20},
			Target: 0.2,
		},
	}
	b.link = NewRouterLink(b.routerd.socket, thisNode, func() NodeFacts {
		b.mu.Lock()
		defer b.mu.Unlock()
		return NodeFacts{Node: proto.CloneOf(b.facts.Node), Target: b.facts.Target}
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.link.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		b.routerd.kill()
	})
	b.bench = newBench(t)
	b.PlaceWith(b.link)
	return b
}

func (b *placedBench) change(change func(*NodeFacts)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.facts)
}

func (b *placedBench) status(t *testing.T) *entroosv1.RouterStatusResponse {
	t.Helper()
	res, err := b.link.Service().RouterStatus(t.Context(), connect.NewRequest(&entroosv1.RouterStatusRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	return res.Msg
}

// knows waits until routerd has these containers on the node, and those in its
// queue.
func (b *placedBench) knows(t *testing.T, placed, queued []string) {
	t.Helper()
	eventually(t, "routerd knows what runs", func() bool {
		res, err := b.link.Service().RouterStatus(t.Context(), connect.NewRequest(&entroosv1.RouterStatusRequest{}))
		if err != nil || len(res.Msg.Nodes) != 1 {
			return false
		}
		var on, waiting []string
		for _, r := range res.Msg.Nodes[0].Replicas {
			on = append(on, r.Name)
		}
		for _, q := range res.Msg.Queue {
			waiting = append(waiting, q.Replica.Name)
		}
		slices.Sort(on)
		slices.Sort(waiting)
		return slices.Equal(on, placed) && slices.Equal(waiting, queued)
	})
}

func (b *placedBench) is(t *testing.T, name string, state entroosv1.ContainerState) {
	t.Helper()
	eventually(t, name+" is "+state.String(), func() bool {
		c, err := b.Get(name)
		return err == nil && c.GetState() == state
	})
}

func demanding(name string, milli uint64) *entroosv1.WorkloadSpec {
	spec := job(name)
	spec.CpuRequestMilli = milli
	return spec
}

// must runs a container and gives it as it is after.
func (b *placedBench) must(t *testing.T, spec *entroosv1.WorkloadSpec) *entroosv1.Container {
	t.Helper()
	c, _, err := b.Run(t.Context(), spec, runtime.IO{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	stateQueued  = entroosv1.ContainerState_CONTAINER_STATE_QUEUED
	stateRunning = entroosv1.ContainerState_CONTAINER_STATE_RUNNING
	stateCreated = entroosv1.ContainerState_CONTAINER_STATE_CREATED
	stateExited  = entroosv1.ContainerState_CONTAINER_STATE_EXITED
)

func TestPlacedBeforeItStarts(t *testing.T) {
	b := newPlacedBench(t)
	b.routerd.start()
	spec := demanding("loop", 200)
	spec.Restart = &entroosv1.RestartPolicy{Mode: entroosv1.RestartPolicy_MODE_ALWAYS}
	if c := b.must(t, spec); c.GetState() != stateRunning {
		t.Fatalf("with room it is %v", c.GetState())
	}
	s := b.status(t)
	if n := s.Nodes[0]; n.GetCommittedCpuMilli() != 200 || n.GetCommittedMemoryBytes() != DefaultMemoryRequestBytes || n.GetUsage() != 0.2 {
		t.Errorf("committed: %v", n)
	}
	d := s.Decisions[0]
	if d.GetOutcome() != entroosv1.PlacementDecision_OUTCOME_PLACED || d.GetReplica().GetName() != "loop" ||
		len(d.GetCandidates()) != 1 || !d.GetCandidates()[0].GetChosen() || d.GetCandidates()[0].GetScore() <= 0 || !d.GetEntropyLeftOut() {
		t.Errorf("decision: %v", d)
	}
	// A restart by policy keeps the place.
	lease := s.Nodes[0].Replicas[0].Lease
	for range 2 {
		(<-b.engine.created).end(runtime.Result{})
	}
	<-b.engine.created
	if s = b.status(t); s.Counters.Placed != 1 || s.Nodes[0].Replicas[0].Lease != lease {
		t.Errorf("after restarts: %v", s)
	}
	if _, err := b.Stop(t.Context(), "loop", 0); err != nil {
		t.Fatal(err)
	}
	b.knows(t, nil, nil)
	// Started again at once, it has a place again, whatever comes of the release.
	if _, err := b.Start("loop"); err != nil {
		t.Fatal(err)
	}
	b.knows(t, []string{"loop"}, nil)
	b.link.Refresh()
	b.knows(t, []string{"loop"}, nil)
}

func TestQueuedUntilThereIsRoom(t *testing.T) {
	b := newPlacedBench(t)
	b.routerd.start()
	b.must(t, demanding("big", 900))
	c := b.must(t, demanding("waits", 500))
	if c.GetState() != stateQueued || c.GetQueuedUnixNano() == 0 || !strings.Contains(c.GetQueuedReason(), "cellar: 500 millicores asked, 100 left") {
		t.Fatalf("without room: %v", c)
	}
	if len(b.List(false)) != 2 {
		t.Errorf("ps lists %v", b.List(false))
	}
	if err := b.Remove(t.Context(), "waits", false); !errors.Is(err, ErrQueued) {
		t.Errorf("removed while it waits: %v", err)
	}
	if starts, err := b.store.Starts(); err != nil || len(starts) != 1 {
		t.Errorf("a container that waits has a start record: %v %v", starts, err)
	}
	// A small one finds room beside it.
	b.must(t, demanding("small", 50))
	b.is(t, "small", stateRunning)
	if _, err := b.Stop(t.Context(), "big", 0); err != nil {
		t.Fatal(err)
	}
	b.is(t, "waits", stateRunning)
	if c, err := b.Get("waits"); err != nil || c.GetQueuedReason() != "" || c.GetQueuedUnixNano() != 0 {
		t.Errorf("when it runs: %v %v", c, err)
	}
	b.knows(t, []string{"small", "waits"}, nil)
	if cycle := b.status(t).GetCycle(); cycle.GetArrivals() != 1 || cycle.GetWaitSeconds() <= 0 {
		t.Errorf("the queue's last cycle: %v", cycle)
	}
}

func TestRefusedLeavesNothing(t *testing.T) {
	b := newPlacedBench(t)
	b.routerd.start()
	huge := job("huge")
	huge.MemoryRequestBytes = 101 << 20
	elsewhere := job("elsewhere")
	elsewhere.Constraints = []string{"node.labels.room==attic"}
	for _, spec := range []*entroosv1.WorkloadSpec{huge, elsewhere, demanding("wide", 1001)} {
		c, _, err := b.Run(t.Context(), spec, runtime.IO{})
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), spec.Name) || !strings.Contains(err.Error(), "cellar") || c != nil {
			t.Errorf("%s: container %v, error %v", spec.Name, c, err)
		}
	}
	if left, _, err := b.store.Containers(); err != nil || len(left) != 0 || len(b.List(true)) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	// The node is asked for as it is now.
	b.change(func(f *NodeFacts) { f.Node.Labels = map[string]string{"room": "attic"} })
	b.must(t, elsewhere)
	b.is(t, "elsewhere", stateRunning)
	// One that was there is kept, and says why it does not run.
	if _, err := b.Stop(t.Context(), "elsewhere", 0); err != nil {
		t.Fatal(err)
	}
	b.change(func(f *NodeFacts) { f.Node.Labels = nil })
	if _, err := b.Start("elsewhere"); !errors.Is(err, ErrRefused) {
		t.Errorf("started where its constraint does not hold: %v", err)
	}
	if c, err := b.Get("elsewhere"); err != nil || c.GetState() != stateExited || !strings.Contains(c.GetError(), "attic") {
		t.Errorf("after it was refused: %v %v", c, err)
	}
	for _, bad := range []*entroosv1.WorkloadSpec{
		{Image: "x", CpuWeight: 10_001}, {Image: "x", CpuRequestMilli: 1_000_001}, {Image: "x", Constraints: []string{"node.colour==red"}},
	} {
		if _, _, err := b.Run(t.Context(), bad, runtime.IO{}); err == nil {
			t.Errorf("%v was run", bad)
		}
	}
}

func TestStartsWithoutRouterd(t *testing.T) {
	b := newPlacedBench(t)
	begun := time.Now()
	b.must(t, demanding("alone", 300))
	if took := time.Since(begun); took < routerPatience || took > routerPatience+2*time.Second {
		t.Errorf("without routerd the first container started after %v", took)
	}
	begun = time.Now()
	b.must(t, demanding("next", 300))
	if took := time.Since(begun); took > time.Second {
		t.Errorf("and the next after %v", took)
	}
	if _, answers := b.link.Away(); answers {
		t.Error("routerd answers, which is not there")
	}
	// It comes, and counts them; what is started meanwhile and ends is not.
	if _, err := b.Stop(t.Context(), "next", 0); err != nil {
		t.Fatal(err)
	}
	b.routerd.start()
	b.knows(t, []string{"alone"}, nil)
	if c := b.must(t, demanding("third", 800)); c.GetState() != stateQueued {
		t.Errorf("beside one that it did not place, it placed: %v", c)
	}
}

func TestRouterdKilledInMidQueue(t *testing.T) {
	b := newPlacedBench(t)
	b.routerd.start()
	b.must(t, demanding("big", 900))
	b.must(t, demanding("waits", 500))
	b.knows(t, []string{"big"}, []string{"waits"})
	b.routerd.kill()
	b.routerd.start()
	b.knows(t, []string{"big"}, []string{"waits"})
	b.is(t, "waits", stateQueued)
	if _, err := b.Stop(t.Context(), "big", 0); err != nil {
		t.Fatal(err)
	}
	b.is(t, "waits", stateRunning)
	b.knows(t, []string{"waits"}, nil)

	// It ends while nobody is there to be told.
	b.must(t, demanding("again", 900))
	b.is(t, "again", stateQueued)
	b.routerd.kill()
	if _, err := b.Stop(t.Context(), "waits", 0); err != nil {
		t.Fatal(err)
	}
	// And where routerd stays away, what waits starts.
	b.is(t, "again", stateRunning)
	b.routerd.start()
	b.knows(t, []string{"again"}, nil)
}

func TestWaitIsGivenUp(t *testing.T) {
	b := newPlacedBench(t)
	b.routerd.start()
	b.must(t, demanding("big", 900))

	for _, give := range []struct {
		how  string
		up   func(cancel func())
		want error
	}{
		{"the client leaves", func(cancel func()) { cancel() }, context.Canceled},
		{"it is stopped", func(func()) {
			if _, err := b.Stop(t.Context(), "waits", 0); err != nil {
				t.Error(err)
			}
		}, ErrCancelled},
		{"it is killed", func(func()) {
			if err := b.Kill(t.Context(), "waits", 9); err != nil {
				t.Error(err)
			}
		}, ErrCancelled},
		{"it is removed", func(func()) {
			if err := b.Remove(t.Context(), "waits", true); err != nil {
				t.Error(err)
			}
		}, ErrCancelled},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		queued := make(chan *entroosv1.Container, 1)
		go func() {
			_, _, err := b.RunAttached(ctx, demanding("waits", 500), runtime.IO{}, func(c *entroosv1.Container) { queued <- c })
			ended <- err
		}()
		if c := <-queued; c.GetState() != stateQueued {
			t.Errorf("told of %v", c)
		}
		give.up(cancel)
		if err := <-ended; !errors.Is(err, give.want) {
			t.Errorf("%s: %v", give.how, err)
		}
		cancel()
		b.knows(t, []string{"big"}, nil)
		if n := len(b.List(true)); n != 1 {
			t.Errorf("%s: %d containers are there", give.how, n)
		}
	}
	if n := len(b.receipts(t)); n != 0 {
		t.Errorf("%d receipts of what never ran", n)
	}

	// One of which nobody waits is kept when it is stopped, and can be started.
	b.must(t, demanding("later", 500))
	if c, err := b.Stop(t.Context(), "later", 0); err != nil || c.GetState() != stateCreated || !strings.Contains(c.GetError(), "queued") {
		t.Errorf("stopped while it waits: %v %v", c, err)
	}
	if c, err := b.Start("later"); err != nil || c.GetState() != stateQueued {
		t.Errorf("started again: %v %v", c, err)
	}
	// The box's end does not wait for room.
	begun := time.Now()
	if err := b.Close(t.Context()); err != nil || time.Since(begun) > 5*time.Second {
		t.Errorf("the box's end took %v: %v", time.Since(begun), err)
	}
}

func TestQueuedAtTheBoxsEnd(t *testing.T) {
	b := newPlacedBench(t)
	b.routerd.start()
	b.must(t, demanding("big", 900))
	once, always := demanding("once", 500), demanding("always", 500)
	always.Restart = &entroosv1.RestartPolicy{Mode: entroosv1.RestartPolicy_MODE_ALWAYS}
	b.must(t, once)
	b.must(t, always)
	// As a power cut leaves them.
	kept, _, err := b.store.Containers()
	if err != nil || len(kept) != 3 {
		t.Fatal(kept, err)
	}
	b.shut(t)
	b.open(t)
	b.PlaceWith(b.link)
	for _, c := range kept {
		if c.GetState() == stateQueued {
			b.tasks[c.GetId()].set(c)
		}
	}
	b.Resume(t.Context())
	b.is(t, "once", stateCreated)
	b.is(t, "always", stateRunning)
}

// TestSilentRouterd: one that takes a call and says nothing is as good as away.
func TestSilentRouterd(t *testing.T) {
	b := newPlacedBench(t)
	real, err := service.New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	handler := real.Handler()
	b.routerd.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/Place") {
			<-r.Context().Done()
			return
		}
		handler.ServeHTTP(w, r)
	}))
	b.must(t, job("one"))
	b.is(t, "one", stateRunning)
	b.knows(t, []string{"one"}, nil)
}

func TestWhichFactsAreTold(t *testing.T) {
	told := NodeFacts{Node: &entroosv1.RouterNode{
		Id: thisNode, CpuMilli: 1000, Entropy: 0.5, EntropyHealth: entroosv1.EntropyHealth_ENTROPY_HEALTH_HEALTHY,
	}, Target: 0.2}
	for _, c := range []struct {
		what   string
		change func(*NodeFacts)
		like   bool
	}{
		{"nothing", func(*NodeFacts) {}, true},
		{"little of E_n", func(f *NodeFacts) { f.Node.Entropy = 0.509 }, true},
		{"more of E_n", func(f *NodeFacts) { f.Node.Entropy = 0.489 }, false},
		{"its health", func(f *NodeFacts) { f.Node.EntropyHealth = entroosv1.EntropyHealth_ENTROPY_HEALTH_UNHEALTHY }, false},
		{"labels", func(f *NodeFacts) { f.Node.Labels = map[string]string{"a": "b"} }, false},
		{"memory", func(f *NodeFacts) { f.Node.MemoryBytes = 1 }, false},
		{"the target", func(f *NodeFacts) { f.Target = 0.3 }, false},
	} {
		f := NodeFacts{Node: proto.CloneOf(told.Node), Target: told.Target}
		c.change(&f)
		if f.like(told) != c.like {
			t.Errorf("a change of %s: told %v", c.what, !f.like(told))
		}
	}
	if told.like(NodeFacts{}) {
		t.Error("the first facts are not told")
	}
}

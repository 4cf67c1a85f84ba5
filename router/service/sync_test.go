package service

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/router"
)

func newService(t *testing.T) *Service {
	t.Helper()
	s, err := New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s.now = func() time.Time { return now }
	return s
}

func box(id string, en float64) *entroosv1.RouterNode {
	n := &entroosv1.RouterNode{Id: id, CpuMilli: 1000, MemoryBytes: 1 << 30, Entropy: en, EntropyHealth: entroosv1.EntropyHealth_ENTROPY_HEALTH_HEALTHY}
	if en == 0 {
		n.EntropyHealth = entroosv1.EntropyHealth_ENTROPY_HEALTH_UNHEALTHY
	}
	return n
}

func wants(id string, cpu uint64, constraints ...string) *entroosv1.Replica {
	return &entroosv1.Replica{Id: id, Name: "name of " + id, CpuMilli: cpu, Constraints: constraints}
}

func tellSync(t *testing.T, s *Service, n *entroosv1.RouterNode, complete bool, running ...*entroosv1.Replica) {
	t.Helper()
	if _, err := s.Sync(context.Background(), connect.NewRequest(&entroosv1.SyncRequest{Node: n, Complete: complete, Replicas: running})); err != nil {
		t.Fatal(err)
	}
}

// ask asks for a place for a replica that has waited so long, and gives the
// channel on which its place comes if it is queued.
func ask(t *testing.T, s *Service, by string, r *entroosv1.Replica, waited time.Duration) <-chan router.Decision {
	t.Helper()
	given, err := replicaOf(r, waited)
	if err != nil {
		t.Fatal(err)
	}
	c, answer, err := s.place(&entroosv1.PlaceRequest{NodeId: by, Replica: r}, given)
	if err != nil || answer.GetRefused() != nil {
		t.Fatal(answer, err)
	}
	return c
}

// on is where a replica runs; empty while it waits.
func on(t *testing.T, s *Service, id string) string {
	t.Helper()
	e, err := s.cluster.Explain(id)
	if err != nil {
		t.Fatal(err)
	}
	return e.Decision.Node
}

// While the only healthy node tells what it runs, nothing goes to another.
func TestSyncOfTheOnlyHealthyNode(t *testing.T) {
	for _, complete := range []bool{false, true} {
		s := newService(t)
		tellSync(t, s, box("a", 0.9), true, wants("old", 900))
		tellSync(t, s, box("b", 0), true)
		ask(t, s, "b", wants("queued", 500), 0)
		tellSync(t, s, box("a", 0.9), complete, wants("old", 900), wants("new", 10))
		if node := on(t, s, "queued"); node != "" {
			t.Errorf("complete: %v: placed on the unhealthy node %s", complete, node)
		}
	}
}

// A node that tells what it runs stays held for who is due.
func TestSyncKeepsTheHold(t *testing.T) {
	s := newService(t)
	tellSync(t, s, box("a", 0.9), true, wants("on a", 100))
	tellSync(t, s, box("b", 0.9), true, wants("on b", 200))
	ask(t, s, "b", wants("due", 1000), router.DefaultAging)
	tellSync(t, s, box("b", 0.9), false)
	held := func() string {
		e, err := s.cluster.Explain("due")
		if err != nil {
			t.Fatal(err)
		}
		return e.HeldNode
	}
	if held() != "a" {
		t.Fatalf("held: %q, want a, which lacks least", held())
	}
	tellSync(t, s, box("a", 0.9), true, wants("on a", 100), wants("more", 500))
	if held() != "a" {
		t.Errorf("held: %q after a told what it runs, want a still", held())
	}
}

// Room that a node gives back all at once goes to the first in line, not to who
// fits when a part of it is back.
func TestSyncGivesBackAtOnce(t *testing.T) {
	for range 20 { // whatever the order
		s := newService(t)
		tellSync(t, s, box("a", 0.9), true, wants("1", 500), wants("2", 500))
		tellSync(t, s, box("b", 0.9), true, wants("3", 1000))
		large, small := wants("large", 1000, "node.id==a"), wants("small", 500, "node.id==a")
		high, low := 1.0, 0.5
		large.Entropy, small.Entropy = &high, &low
		first, second := ask(t, s, "b", large, 0), ask(t, s, "b", small, 0)
		tellSync(t, s, box("a", 0.9), true)
		if len(first) != 1 || len(second) != 0 {
			t.Fatalf("large is on %q, small on %q", on(t, s, "large"), on(t, s, "small"))
		}
	}
}

// A Sync that is refused has changed nothing.
func TestSyncRefused(t *testing.T) {
	s := newService(t)
	tellSync(t, s, box("a", 0.9), true, wants("1", 900))
	waits := ask(t, s, "a", wants("2", 500), 0)
	before := s.cluster.Nodes()
	none := box("a", 0.9)
	none.CpuMilli = 0
	many := make([]*entroosv1.Replica, 5000)
	for i := range many {
		many[i] = wants(string(rune('0'+i)), 0)
		many[i].MemoryBytes = router.MaxMemory
	}
	for name, r := range map[string]*entroosv1.SyncRequest{
		"node":     {Node: none, Complete: true, Target: 0.5},
		"target":   {Node: box("a", 0.9), Complete: true, Target: 2},
		"too much": {Node: box("a", 0.9), Complete: true, Target: 0.5, Replicas: many},
	} {
		_, err := s.Sync(context.Background(), connect.NewRequest(r))
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
		after := s.cluster.Nodes()
		if len(after) != 1 || after[0].Cordoned || after[0].CommittedCPU != before[0].CommittedCPU || len(after[0].Replicas) != 1 {
			t.Errorf("%s: %d nodes, %d replicas now", name, len(after), len(after[0].Replicas))
		}
		if target := s.cluster.Config().Target; target != 0.2 {
			t.Errorf("%s: T is %v now", name, target)
		}
		select {
		case d, open := <-waits:
			t.Fatalf("%s: who waited was told %+v, %v", name, d, open)
		default:
		}
	}
}

// A replica that makes no sense does not keep its node out.
func TestSyncLeavesOutABadReplica(t *testing.T) {
	s := newService(t)
	large := wants("large", 10)
	large.MemoryBytes = router.MaxMemory + 1
	tellSync(t, s, box("a", 0.9), true, wants("bad", 10, "node.colour==red"), large, wants("good", 300))
	n := s.cluster.Nodes()[0]
	if n.CommittedCPU != 300 || len(n.Replicas) != 1 || n.Replicas[0] != "good" {
		t.Errorf("%+v", n)
	}
	if len(s.replicas) != 1 {
		t.Errorf("%v", s.replicas)
	}
}

// An image that is not measured is not ahead of all that are.
func TestUnknownEntropy(t *testing.T) {
	s := newService(t)
	tellSync(t, s, box("a", 0.9), true, wants("1", 1000))
	known, high := wants("known", 1000), 0.8
	known.Entropy = &high
	unknown, first := ask(t, s, "a", wants("unknown", 1000), 0), ask(t, s, "a", known, 0)
	s.release("1")
	if len(first) != 1 || len(unknown) != 0 {
		t.Errorf("known is on %q, unknown on %q", on(t, s, "known"), on(t, s, "unknown"))
	}
}

// Who waits for a node that is kept free is told when that ends, though nothing
// else happens.
func TestHoldLapses(t *testing.T) {
	s := newService(t)
	now := s.now()
	s.now = func() time.Time { return now }
	tellSync(t, s, box("a", 0.9), true, wants("1", 500), wants("2", 10))
	ask(t, s, "a", wants("due", 900), router.DefaultAging)
	s.mu.Lock()
	s.release("2")
	s.mu.Unlock()
	small := ask(t, s, "a", wants("small", 10), 0)
	if small == nil || s.lapse == nil {
		t.Fatalf("small is on %q, timer %v", on(t, s, "small"), s.lapse)
	}
	now = now.Add(router.DefaultHold + 1)
	s.elapse()
	if len(small) != 1 || s.lapse != nil {
		t.Errorf("small is on %q, timer %v", on(t, s, "small"), s.lapse)
	}
}

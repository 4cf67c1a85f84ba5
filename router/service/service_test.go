package service_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/router/service"
)

// client is one of a service on a real socket.
type client struct {
	entroosv1connect.RouterServiceClient
	t *testing.T
}

func serve(t *testing.T) *client {
	t.Helper()
	s, err := service.New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "r.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: s.Handler(), Protocols: protocols}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	transport := &http.Transport{
		Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return &client{entroosv1connect.NewRouterServiceClient(&http.Client{Transport: transport}, "http://routerd"), t}
}

func node(id string, cores uint64, entropy float64) *entroosv1.RouterNode {
	return &entroosv1.RouterNode{
		Id: id, Hostname: "host-" + id, CpuMilli: 1000 * cores, MemoryBytes: 1 << 30,
		EntropyHealth: entroosv1.EntropyHealth_ENTROPY_HEALTH_HEALTHY, Entropy: entropy,
	}
}

func (c *client) sync(r *entroosv1.SyncRequest) {
	c.t.Helper()
	if _, err := c.Sync(c.t.Context(), connect.NewRequest(r)); err != nil {
		c.t.Fatal(err)
	}
}

// place asks, and gives the first answer and the stream for more.
func (c *client) place(ctx context.Context, r *entroosv1.PlaceRequest) (*entroosv1.PlaceResponse, *connect.ServerStreamForClient[entroosv1.PlaceResponse]) {
	c.t.Helper()
	stream, err := c.Place(ctx, connect.NewRequest(r))
	if err != nil {
		c.t.Fatal(err)
	}
	if !stream.Receive() {
		c.t.Fatalf("no answer: %v", stream.Err())
	}
	return stream.Msg(), stream
}

func (c *client) status() *entroosv1.RouterStatusResponse {
	c.t.Helper()
	res, err := c.RouterStatus(c.t.Context(), connect.NewRequest(new(entroosv1.RouterStatusRequest)))
	if err != nil {
		c.t.Fatal(err)
	}
	return res.Msg
}

func (c *client) eventually(what string, condition func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited for %s", what)
		}
	}
}

func replica(id string, milli uint64, change ...func(*entroosv1.Replica)) *entroosv1.Replica {
	r := &entroosv1.Replica{Id: id, Name: "name-" + id, Lease: 1, CpuMilli: milli, CpuWeight: 100, MemoryBytes: 4 << 20}
	for _, f := range change {
		f(r)
	}
	return r
}

// TestDecisionsAreTheModels: what is told of a decision can be recomputed.
func TestDecisionsAreTheModels(t *testing.T) {
	c := serve(t)
	c.sync(&entroosv1.SyncRequest{Node: node("a", 4, 0.9), Complete: true, Target: 0.3})
	c.sync(&entroosv1.SyncRequest{Node: node("b", 2, 0.8), Complete: true, Target: 0.3, Replicas: []*entroosv1.Replica{replica("old", 500)}})
	ec := 0.75
	first, _ := c.place(t.Context(), &entroosv1.PlaceRequest{NodeId: "a", Replica: replica("new", 400, func(r *entroosv1.Replica) { r.Entropy = &ec })})
	if first.GetPlaced() == nil {
		t.Fatal(first)
	}
	res, err := c.Explain(t.Context(), connect.NewRequest(&entroosv1.ExplainRequest{Container: "new"}))
	if err != nil {
		t.Fatal(err)
	}
	d := res.Msg.GetDecision()
	if res.Msg.GetHypothetical() || d.GetOutcome() != entroosv1.PlacementDecision_OUTCOME_PLACED || len(d.GetCandidates()) != 2 || d.GetDecidedUnixNano() == 0 {
		t.Fatal(d)
	}
	// They are ranked as they would be with the replica.
	score := func(k *entroosv1.PlacementCandidate) float64 {
		return equations.RoutingScore(k.GetEntropy(), ec, k.GetCapacity(), k.GetUsage()+k.GetDemand(), 0.3)
	}
	largest := 0.0
	for _, k := range d.GetCandidates() {
		largest = max(largest, score(k))
	}
	for _, k := range d.GetCandidates() {
		n := map[string]struct{ en, cn, un float64 }{"a": {0.9, 1, 0}, "b": {0.8, 0.5, 0.125}}[k.GetNodeId()]
		s := equations.RoutingScore(n.en, ec, n.cn, n.un, 0.3)
		if k.GetEntropy() != n.en || k.GetCapacity() != n.cn || k.GetUsage() != n.un || k.GetScore() != s ||
			k.GetDemand() != 0.1 || k.GetDominantShare() != 0.4/(4*k.GetCapacity()) || k.GetHostname() != "host-"+k.GetNodeId() {
			t.Errorf("candidate %v, score by equation 13 %v", k, s)
		}
		if rank := equations.PriorityBlend(score(k), largest, n.cn, n.un+0.1, d.GetWeight()); rank-k.GetRank() > 1e-12 || k.GetRank()-rank > 1e-12 {
			t.Errorf("rank %v, by equation 14 %v", k.GetRank(), rank)
		}
		if k.GetChosen() != (k.GetNodeId() == first.GetPlaced().GetNodeId()) {
			t.Errorf("chosen: %v", k)
		}
	}
	// One that came with its node is told of as it would be decided.
	res, err = c.Explain(t.Context(), connect.NewRequest(&entroosv1.ExplainRequest{Container: "old"}))
	if err != nil || !res.Msg.GetHypothetical() {
		t.Errorf("%v %v", res, err)
	}
	// And one that is not there; nothing is committed to it.
	before := c.status()
	res, err = c.Explain(t.Context(), connect.NewRequest(&entroosv1.ExplainRequest{Replica: replica("none", 3000)}))
	if err != nil || !res.Msg.GetHypothetical() || res.Msg.GetDecision().GetNodeId() != "a" {
		t.Errorf("%v %v", res, err)
	}
	after := c.status()
	if after.GetCounters().String() != before.GetCounters().String() || len(after.GetDecisions()) != len(before.GetDecisions()) {
		t.Errorf("a question changed %v to %v", before, after)
	}
	if _, err = c.Explain(t.Context(), connect.NewRequest(&entroosv1.ExplainRequest{Container: "nobody"})); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("of a stranger: %v", err)
	}
}

// TestUnhealthyNode: with a healthy one beside it, a node without entropy gets
// nothing; alone it gets all.
func TestUnhealthyNode(t *testing.T) {
	c := serve(t)
	sick := node("sick", 8, 0)
	sick.EntropyHealth = entroosv1.EntropyHealth_ENTROPY_HEALTH_UNHEALTHY
	c.sync(&entroosv1.SyncRequest{Node: sick, Complete: true})
	a, _ := c.place(t.Context(), &entroosv1.PlaceRequest{NodeId: "sick", Replica: replica("1", 10)})
	if a.GetPlaced().GetNodeId() != "sick" || !c.status().GetEntropyLeftOut() {
		t.Errorf("a lone box: %v", a)
	}
	c.sync(&entroosv1.SyncRequest{Node: node("well", 1, 0.5), Complete: true})
	a, _ = c.place(t.Context(), &entroosv1.PlaceRequest{NodeId: "sick", Replica: replica("2", 10)})
	if a.GetPlaced().GetNodeId() != "well" || c.status().GetEntropyLeftOut() {
		t.Errorf("with a healthy one: %v", a)
	}
	d := c.status().GetDecisions()[0]
	for _, k := range d.GetCandidates() {
		if k.GetNodeId() == "sick" && (!k.GetFiltered() || !strings.Contains(k.GetReason(), "unhealthy")) {
			t.Errorf("the sick one: %v", k)
		}
	}
}

func TestQueueOverTheWire(t *testing.T) {
	c := serve(t)
	if _, err := c.RouterStatus(t.Context(), connect.NewRequest(new(entroosv1.RouterStatusRequest))); err != nil {
		t.Fatal(err)
	}
	stream, err := c.Place(t.Context(), connect.NewRequest(&entroosv1.PlaceRequest{NodeId: "a", Replica: replica("x", 10)}))
	if err == nil && stream.Receive() {
		t.Fatal("placed for a node that nobody knows")
	} else if err == nil {
		err = stream.Err()
	}
	if connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Fatalf("a node that nobody knows: %v", err)
	}
	c.sync(&entroosv1.SyncRequest{Node: node("a", 1, 0.9), Complete: true})
	if a, _ := c.place(t.Context(), &entroosv1.PlaceRequest{NodeId: "a", Replica: replica("big", 900)}); a.GetPlaced() == nil {
		t.Fatal(a)
	}
	// The client of one leaves; another waits on.
	left, leave := context.WithCancel(t.Context())
	if a, _ := c.place(left, &entroosv1.PlaceRequest{NodeId: "a", Replica: replica("left", 200)}); a.GetQueued() == nil {
		t.Fatal(a)
	}
	a, waits := c.place(t.Context(), &entroosv1.PlaceRequest{NodeId: "a", Replica: replica("waits", 300), WaitedMillis: 5000})
	if !strings.Contains(a.GetQueued().GetReason(), "host-a") {
		t.Errorf("queued: %v", a)
	}
	if q := c.status().GetQueue(); len(q) != 2 || q[0].GetReplica().GetId() != "waits" {
		t.Errorf("who has waited before is not first: %v", q)
	}
	leave()
	c.eventually("the one that left to be forgotten", func() bool { return len(c.status().GetQueue()) == 1 })
	// An old lease given back changes nothing; the right one makes room.
	for lease := range uint64(2) {
		if _, err := c.Release(t.Context(), connect.NewRequest(&entroosv1.ReleaseRequest{
			NodeId: "a", Leases: []*entroosv1.Lease{{ReplicaId: "big", Lease: lease}, {ReplicaId: "nobody", Lease: lease}},
		})); err != nil {
			t.Fatal(err)
		}
		if waiting := len(c.status().GetQueue()); waiting != 1-int(lease) {
			t.Errorf("after lease %d, %d wait", lease, waiting)
		}
	}
	if !waits.Receive() || waits.Msg().GetPlaced().GetNodeId() != "a" {
		t.Fatalf("%v %v", waits.Msg(), waits.Err())
	}
	s := c.status()
	if n := s.GetCounters(); n.GetOffered() != 3 || n.GetPlaceable() != 3 || n.GetPlaced() != 2 || n.GetCancelled() != 1 || n.GetRefused() != 0 {
		t.Errorf("counters %v", n)
	}
	if d := s.GetDecisions()[0]; d.GetReplica().GetId() != "waits" || d.GetOutcome() != entroosv1.PlacementDecision_OUTCOME_PLACED || d.GetWaitedMillis() < 5000 {
		t.Errorf("the last decision: %v", d)
	}
	if cycle := s.GetCycle(); cycle.GetArrivals() != 2 || cycle.GetEndedUnixNano() <= cycle.GetBeganUnixNano() {
		t.Errorf("cycle %v", cycle)
	}
}

// TestAskedForAgain: the later request for a replica takes the earlier one's
// place.
func TestAskedForAgain(t *testing.T) {
	c := serve(t)
	c.sync(&entroosv1.SyncRequest{Node: node("a", 1, 0.9), Complete: true})
	c.place(t.Context(), &entroosv1.PlaceRequest{NodeId: "a", Replica: replica("big", 900)})
	_, first := c.place(t.Context(), &entroosv1.PlaceRequest{NodeId: "a", Replica: replica("waits", 300)})
	_, second := c.place(t.Context(), &entroosv1.PlaceRequest{
		NodeId: "a", Replica: replica("waits", 300, func(r *entroosv1.Replica) { r.Lease = 2 }),
	})
	if first.Receive() || connect.CodeOf(first.Err()) != connect.CodeAborted {
		t.Errorf("the first: %v %v", first.Msg(), first.Err())
	}
	// Given back with the next request, it has room, and its port is free.
	web := func(r *entroosv1.Replica) { r.Ports = []*entroosv1.PortMapping{{HostPort: 80, Protocol: "tcp"}} }
	a, _ := c.place(t.Context(), &entroosv1.PlaceRequest{
		NodeId: "a", Replica: replica("web", 10, web),
		Released: []*entroosv1.Lease{{ReplicaId: "big", Lease: 1}},
	})
	if a.GetPlaced() == nil {
		t.Fatal(a)
	}
	if !second.Receive() || second.Msg().GetPlaced() == nil {
		t.Fatalf("the second: %v %v", second.Msg(), second.Err())
	}
	a, _ = c.place(t.Context(), &entroosv1.PlaceRequest{NodeId: "a", Replica: replica("web2", 10, web)})
	if !strings.Contains(a.GetRefused().GetReason(), "name-web") {
		t.Errorf("a port that is taken: %v", a)
	}
	a, _ = c.place(t.Context(), &entroosv1.PlaceRequest{
		NodeId: "a", Replica: replica("web2", 10, web), Released: []*entroosv1.Lease{{ReplicaId: "web", Lease: 1}},
	})
	if a.GetPlaced() == nil {
		t.Errorf("a port that was given back: %v", a)
	}
	// All that the node runs is what it says when it begins anew.
	c.sync(&entroosv1.SyncRequest{Node: node("a", 1, 0.9), Complete: true, Replicas: []*entroosv1.Replica{replica("kept", 20)}})
	if n := c.status().GetNodes()[0]; n.GetCommittedCpuMilli() != 20 || len(n.GetReplicas()) != 1 {
		t.Errorf("after a new beginning: %v", n)
	}
}

func TestBadRequests(t *testing.T) {
	c := serve(t)
	nan := node("a", 1, 0)
	nan.Entropy /= nan.Entropy
	huge := node("a", 1, 0.5)
	huge.MemoryBytes = 1 << 63
	for _, n := range []*entroosv1.RouterNode{nil, {Id: "a"}, node("", 1, 0.5), node("a", 0, 0.5), node("a", 1, 2), nan, huge} {
		if _, err := c.Sync(t.Context(), connect.NewRequest(&entroosv1.SyncRequest{Node: n})); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("node %v: %v", n, err)
		}
	}
	if _, err := c.Sync(t.Context(), connect.NewRequest(&entroosv1.SyncRequest{Node: node("a", 1, 0.5), Target: -1})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("a negative target: %v", err)
	}
	c.sync(&entroosv1.SyncRequest{Node: node("a", 1, 0.5), Complete: true})
	for i, change := range []func(*entroosv1.Replica){
		func(r *entroosv1.Replica) { r.Id = "" },
		func(r *entroosv1.Replica) { r.MemoryBytes = 1 << 63 },
		func(r *entroosv1.Replica) { r.CpuWeight = 1 << 20 },
		func(r *entroosv1.Replica) { e := -0.5; r.Entropy = &e },
		func(r *entroosv1.Replica) { r.Constraints = []string{"anything"} },
		func(r *entroosv1.Replica) { r.Ports = []*entroosv1.PortMapping{{HostPort: 70000, Protocol: "tcp"}} },
		func(r *entroosv1.Replica) {
			r.Ports = []*entroosv1.PortMapping{{HostPort: 80, Protocol: "tcp", HostIp: "x"}}
		},
	} {
		stream, err := c.Place(t.Context(), connect.NewRequest(&entroosv1.PlaceRequest{NodeId: "a", Replica: replica("x", 10, change)}))
		if err == nil && !stream.Receive() {
			err = stream.Err()
		}
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("replica %d: %v", i, err)
		}
	}
	if s := c.status(); s.GetCounters().GetOffered() != 0 || len(s.GetNodes()[0].GetReplicas()) != 0 {
		t.Errorf("bad requests left %v", s)
	}
}

// TestDecisionsAreBounded: however many there were, few are kept.
func TestDecisionsAreBounded(t *testing.T) {
	c := serve(t)
	c.sync(&entroosv1.SyncRequest{Node: node("a", 64, 0.9), Complete: true})
	for i := range 100 {
		c.place(t.Context(), &entroosv1.PlaceRequest{NodeId: "a", Replica: replica(fmt.Sprint(i), 1)})
	}
	if d := c.status().GetDecisions(); len(d) != 64 || d[0].GetReplica().GetId() != "99" {
		t.Errorf("%d decisions are kept, the newest of %v", len(d), d[0])
	}
	brief, err := c.RouterStatus(t.Context(), connect.NewRequest(&entroosv1.RouterStatusRequest{Brief: true}))
	if err != nil || len(brief.Msg.GetDecisions()) != 0 || len(brief.Msg.GetNodes()[0].GetReplicas()) != 0 || brief.Msg.GetNodes()[0].GetCommittedCpuMilli() != 100 {
		t.Errorf("in brief: %v %v", brief, err)
	}
}

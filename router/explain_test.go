package router

import (
	"fmt"
	"slices"
	"testing"
)

func TestExplainInALargeCluster(t *testing.T) {
	nodes, _ := drawCluster(RecordedNodes+1, 0, 1)
	c := newCluster(t, nodes...)
	first := place(t, c, Replica{ID: "r", CPU: 1000, Entropy: 0.5})[0]
	before, err := c.Explain("r")
	if err != nil {
		t.Fatal(err)
	}
	// As it would be without it: the same as it was.
	if k := before.Candidates[0]; before.Recorded || k.Node != first.Node || !k.Chosen || k.Rank != first.Rank || k.Score != first.Score || k.Usage != 0 {
		t.Errorf("%+v, want it as decided: %+v", k, first)
	}
	checkCluster(t, c)
	// Once others have come, the best for it may be another; it is where it is.
	if err := c.Adopt(start, Replica{ID: "s", CPU: 30_000}, first.Node); err != nil {
		t.Fatal(err)
	}
	after, err := c.Explain("r")
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range after.Candidates {
		reason := after.Reason(k)
		switch {
		case k.Chosen != (k.Node == first.Node), k.Chosen && i == 0:
			t.Errorf("candidate %d: %+v", i, k)
		case k.Chosen && reason != "chosen":
			t.Errorf("chosen, because %q", reason)
		case !k.Chosen && i > 0 && reason != "outranked by "+after.Candidates[0].Node:
			t.Errorf("not chosen, because %q", reason)
		}
	}
	d := place(t, c, Replica{ID: "wide", CPU: 65_000})[0]
	if d.Outcome != Refused || d.Reason != "65 nodes, such as node-0000000: 65000 millicores are more than it has" {
		t.Errorf("%+v", d)
	}
	for _, n := range nodes {
		if err := c.Adopt(start, Replica{ID: "on " + n.ID, CPU: n.CPU}, n.ID); err != nil {
			t.Fatal(err)
		}
	}
	d = place(t, c, Replica{ID: "late", CPU: 10})[0]
	if d.Outcome != Queued || d.Reason != "no node has room for it now" {
		t.Errorf("%+v", d)
	}
}

func TestExplainAdopted(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5), node("b", 1000, 1<<30, 0.9))
	if err := c.Adopt(start, Replica{ID: "r", CPU: 2000, Entropy: 0.5}, "a"); err != nil {
		t.Fatal(err)
	}
	e, err := c.Explain("r")
	if err != nil {
		t.Fatal(err)
	}
	if !e.Decision.Adopted || e.Recorded || len(e.Candidates) != 2 {
		t.Fatalf("%+v", e)
	}
	for _, k := range e.Candidates {
		if k.Verdict != CPUSize || k.Rank != 0 || k.Chosen != (k.Node == "a") {
			t.Errorf("%+v: %s", k, e.Reason(k))
		}
	}
	if n := c.Nodes()[0]; n.CommittedCPU != 2000 || !(n.Headroom < 0) {
		t.Errorf("%+v", n)
	}
	// Nothing more goes where more is committed than there is.
	wantPlaced(t, place(t, c, Replica{ID: "s"}), "b")
	if _, err := c.Explain("t"); err == nil {
		t.Error("an unknown replica is explained")
	}
	if _, err := c.Consider(Replica{ID: "s"}); err == nil {
		t.Error("a replica that is placed is considered")
	}
	if _, err := c.Consider(Replica{}); err == nil {
		t.Error("an invalid replica is considered")
	}
}

// To explain a replica that was adopted leaves all as it was, order included.
func TestExplainChangesNothing(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5))
	for i := range 4 {
		r := Replica{ID: fmt.Sprint(i), CPU: 100, Ports: []HostPort{{Protocol: "tcp", Port: uint16(80 + i)}}}
		if err := c.Adopt(start, r, "a"); err != nil {
			t.Fatal(err)
		}
	}
	m := c.nodes[0]
	running, ports := slices.Clone(m.running), slices.Clone(m.ports)
	for i := range 4 {
		e, err := c.Explain(fmt.Sprint(i))
		if err != nil || e.Candidates[0].Usage != 0.3 {
			t.Fatalf("%+v, %v: want what is used without it", e, err)
		}
		if !slices.Equal(m.running, running) || !slices.Equal(m.ports, ports) {
			t.Errorf("explaining %d has changed an order", i)
		}
		checkCluster(t, c)
	}
}

package router

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func release(t testing.TB, c *Cluster, now time.Time, id string) []Decision {
	t.Helper()
	d, err := c.Release(now, id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestQueueInFallingEntropyAndAge(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5))
	at := func(d time.Duration) time.Time { return start.Add(d) }
	placeAt := func(now time.Time, id string, ec float64) {
		if _, err := c.Place(now, Replica{ID: id, CPU: 1000, Entropy: ec}); err != nil {
			t.Fatal(err)
		}
	}
	placeAt(at(0), "first", 1)
	placeAt(at(0), "low", 0.1)
	placeAt(at(0), "high", 0.9)
	// Of E_c 0.8 more, a minute later, of an aging of five: 4 minutes ahead.
	placeAt(at(time.Minute), "later", 0.91)
	// One who comes an aging later is behind all, whatever its E_c.
	placeAt(at(DefaultAging), "last", 1)
	now, running := at(DefaultAging), "first"
	for _, want := range []string{"low", "high", "later", "last"} {
		// low and high are due at the same instant, and low came first.
		d := release(t, c, now, running)
		if len(d) != 1 || d[0].Replica != want {
			t.Fatalf("%+v, want %s", d, want)
		}
		running = want
	}
	c = newCluster(t, node("a", 1000, 1<<30, 0.5))
	placeAt(at(0), "first", 1)
	placeAt(at(0), "low", 0.1)
	placeAt(at(0), "high", 0.9)
	placeAt(at(time.Minute), "later", 0.91)
	running = "first"
	for _, want := range []string{"high", "later", "low"} {
		d := release(t, c, at(2*time.Minute), running)
		if len(d) != 1 || d[0].Replica != want {
			t.Fatalf("%+v, want %s", d, want)
		}
		running = want
	}
}

func TestDueHoldsANode(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5), node("b", 1000, 1<<30, 0.9))
	wantPlaced(t, place(t, c, Replica{ID: "1", CPU: 700, Entropy: 1}, Replica{ID: "2", CPU: 800, Entropy: 0.9}), "b", "a")
	wantPlaced(t, place(t, c, Replica{ID: "large", CPU: 1000}), "")
	// Small ones overtake it until it is due.
	wantPlaced(t, place(t, c, Replica{ID: "3", CPU: 10}), "b")
	due := start.Add(DefaultAging)
	d, err := c.Place(due, Replica{ID: "4", CPU: 10}, Replica{ID: "5", CPU: 250})
	if err != nil {
		t.Fatal(err)
	}
	// b lacks least, and is held; a has room for one of the two.
	wantPlaced(t, d, "a", "")
	if !strings.Contains(d[1].Reason, "node b: kept free for large, which has waited longest") {
		t.Error(d[1].Reason)
	}
	e, err := c.Explain("large")
	if err != nil || e.HeldNode != "b" || !e.Due.Equal(due) || c.Nodes()[1].HeldFor != "large" || c.Status().Held != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	if d := release(t, c, due, "1"); len(d) != 0 {
		t.Fatalf("%+v on a node that is held", d)
	}
	// The other node empties first: it goes there, and what it held to 5.
	release(t, c, due, "4")
	got := release(t, c, due, "2")
	if len(got) != 2 || got[0].Replica != "large" || got[0].Node != "a" || got[1].Replica != "5" || got[1].Node != "b" {
		t.Errorf("%+v", got)
	}
	if got[0].Waited != DefaultAging {
		t.Errorf("waited %v", got[0].Waited)
	}
}

// Room that appears when a replica has become due goes to nobody behind it.
func TestDueHoldsBeforeOthersAreTried(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5))
	place(t, c, Replica{ID: "1", CPU: 600, Entropy: 1}, Replica{ID: "2", CPU: 300, Entropy: 0.9},
		Replica{ID: "large", CPU: 900, Entropy: 0.1})
	if _, err := c.Place(start.Add(time.Minute), Replica{ID: "small", CPU: 200, Entropy: 1}); err != nil {
		t.Fatal(err)
	}
	due := start.Add(DefaultAging + time.Second)
	if d := release(t, c, due, "2"); len(d) != 0 {
		t.Errorf("%+v, want the node held for large", d)
	}
	wantPlaced(t, release(t, c, due, "1"), "a")
}

// What a replica has waited under an earlier router counts.
func TestWaitedBefore(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5))
	place(t, c, Replica{ID: "1", CPU: 1000, Entropy: 1}, Replica{ID: "2", CPU: 1000, Entropy: 1, Waited: DefaultAging},
		Replica{ID: "3", CPU: 1000, Waited: 2 * DefaultAging})
	d := release(t, c, start.Add(time.Second), "1")
	if len(d) != 1 || d[0].Replica != "3" || d[0].Waited != 2*DefaultAging+time.Second {
		t.Errorf("%+v, want 3", d)
	}
}

// A node that can no longer hold the replica that it is held for is let go, and
// another is held.
func TestHeldNodeChanges(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5), node("b", 1000, 1<<30, 0.5))
	place(t, c, Replica{ID: "1", CPU: 600, Entropy: 1}, Replica{ID: "2", CPU: 500, Entropy: 0.9},
		Replica{ID: "large", CPU: 900, Waited: DefaultAging})
	if _, err := c.SetNodes(start); err != nil { // time for it to be due
		t.Fatal(err)
	}
	if e, _ := c.Explain("large"); e.HeldNode != "b" {
		t.Fatalf("held: %q, want b, which lacks least", e.HeldNode)
	}
	for _, change := range []struct {
		b    Node
		want string
	}{{node("b", 800, 1<<30, 0.5), "a"}, {node("b", 2000, 1<<30, 0), "a"}} {
		if _, err := c.SetNodes(start, change.b); err != nil {
			t.Fatal(err)
		}
		if e, _ := c.Explain("large"); e.HeldNode != change.want || c.Status().Held != 1 {
			t.Errorf("b is %+v: held is %q, want %q", change.b, e.HeldNode, change.want)
		}
		checkCluster(t, c)
	}
	d, err := c.SetNodes(start, node("b", 2000, 1<<30, 0.5))
	if err != nil {
		t.Fatal(err)
	}
	wantPlaced(t, d, "b")
	if c.Status().Held != 0 {
		t.Error("a is held still")
	}
}

// A due replica does not close a box on which nothing ends, and a node is kept
// free for no longer than Hold at a time.
func TestHoldIsBounded(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5))
	at := func(d time.Duration) time.Time { return start.Add(d) }
	placeAt := func(now time.Time, id, want string) {
		t.Helper()
		d, err := c.Place(now, Replica{ID: id, CPU: 10, Entropy: 1})
		if err != nil {
			t.Fatal(err)
		}
		wantPlaced(t, d[:1], want)
		checkCluster(t, c)
	}
	place(t, c, Replica{ID: "service", CPU: 500, Entropy: 1}, Replica{ID: "large", CPU: 900})
	placeAt(at(DefaultAging), "1", "a")
	placeAt(at(2*DefaultAging), "2", "a")
	// Something ends: the node is kept free, in the hope of more.
	held := 3 * DefaultAging
	release(t, c, at(held), "1")
	placeAt(at(held), "3", "")
	placeAt(at(held+DefaultHold), "4", "")
	if n, ok := c.NextLapse(); !ok || !n.Equal(at(held+DefaultHold+1)) {
		t.Fatal(n, ok)
	}
	d := c.Advance(at(held + DefaultHold + 1))
	wantPlaced(t, d, "a", "a")
	if n, ok := c.NextLapse(); ok {
		t.Fatal(n)
	}
	checkCluster(t, c)
	// The next time is after a rest as long.
	release(t, c, at(held+DefaultHold+2), "2")
	placeAt(at(held+2*DefaultHold), "5", "a")
	placeAt(at(held+2*DefaultHold+1), "6", "")
	// Then after one twice as long. Who comes when it lapses is told of, behind him who waited.
	d, err := c.Place(at(held+3*DefaultHold+2), Replica{ID: "7", CPU: 10})
	if err != nil {
		t.Fatal(err)
	}
	wantPlaced(t, d, "a", "a")
	if d[1].Replica != "6" || d[1].Sequence >= d[0].Sequence {
		t.Errorf("%+v", d)
	}
	placeAt(at(held+5*DefaultHold+1), "8", "a")
	placeAt(at(held+5*DefaultHold+2), "9", "")
}

// A node is not kept free for a replica whose port is taken there.
func TestHoldIsOfNoUseWherePortIsTaken(t *testing.T) {
	web := []HostPort{{Protocol: "tcp", Port: 80}}
	c := newCluster(t, node("a", 1000, 1<<30, 0.5), node("b", 1000, 1<<30, 0.5), node("c", 1000, 1<<30, 0.5))
	for _, r := range []struct {
		Replica
		on string
	}{{Replica{ID: "0", CPU: 100, Ports: web}, "a"}, {Replica{ID: "1", CPU: 800}, "b"}, {Replica{ID: "2", CPU: 850}, "c"}} {
		if err := c.Adopt(start, r.Replica, r.on); err != nil {
			t.Fatal(err)
		}
	}
	place(t, c, Replica{ID: "due", CPU: 950, Ports: web, Waited: DefaultAging})
	c.Advance(start)
	if e, _ := c.Explain("due"); e.HeldNode != "b" {
		t.Errorf("held: %q, want b: its port is taken on a", e.HeldNode)
	}
}

// A held node that is open again counts once.
func TestNodeLetGoCountsOnce(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5), node("b", 1000, 1<<30, 0.5))
	for id, on := range map[string]string{"1": "a", "2": "b"} {
		if err := c.Adopt(start, Replica{ID: id, CPU: 700}, on); err != nil {
			t.Fatal(err)
		}
	}
	place(t, c, Replica{ID: "large", CPU: 1000, Waited: DefaultAging})
	c.Advance(start)
	place(t, c, Replica{ID: "small", CPU: 300, Constraints: []Constraint{{"node.id", false, "a"}}})
	if e, _ := c.Explain("large"); e.HeldNode != "a" {
		t.Fatalf("held: %q", e.HeldNode)
	}
	d, err := c.SetNodes(start, node("b", 2000, 1<<30, 0.5))
	if err != nil {
		t.Fatal(err)
	}
	wantPlaced(t, d, "b", "a")
	if d[1].Candidates != 1 {
		t.Errorf("%d candidates, want the one node", d[1].Candidates)
	}
}

func TestCancelledLetsItsNodeGo(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5))
	place(t, c, Replica{ID: "0", CPU: 50}, Replica{ID: "1", CPU: 500}, Replica{ID: "large", CPU: 900, Waited: DefaultAging})
	release(t, c, start, "0")
	wantPlaced(t, place(t, c, Replica{ID: "2", CPU: 100}), "")
	d := release(t, c, start, "large")
	wantPlaced(t, d, "a")
	if s := c.Status(); s.Cancelled != 1 || s.Waiting != 0 || s.Success != 1 {
		t.Errorf("%+v", s)
	}
}

func TestRemovedNode(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5), node("b", 500, 1<<30, 0.5))
	place(t, c, Replica{ID: "1", CPU: 900, Entropy: 1}, Replica{ID: "2", CPU: 400, Entropy: 0.1}, Replica{ID: "3", CPU: 900, Waited: DefaultAging})
	lost, d, err := c.RemoveNode(start, "a")
	if err != nil || !slices.Equal(lost, []string{"1"}) || len(d) != 0 {
		t.Fatal(lost, d, err)
	}
	// The largest node is another, so the shares are too; and 3 goes on waiting,
	// though no node could hold it now.
	if n := c.Nodes()[0]; n.ID != "b" || n.Capacity != 1 || n.Usage != 0.8 {
		t.Errorf("%+v", n)
	}
	d, err = c.SetNodes(start, node("a", 2000, 1<<30, 0.5))
	if err != nil {
		t.Fatal(err)
	}
	wantPlaced(t, d, "a")
}

// job is a replica that leaves some time after it was placed.
type job struct {
	Replica
	comes, runs time.Duration
	bound       time.Duration // on its wait; 0 while it is not due
	ends        time.Time
}

// The bound stated at queue: whoever comes, however often, and whatever they
// ask for, a replica waits no longer than Aging + (k+2)·D, where k of those that
// had come before it still wait when it becomes due; three times that beyond
// Aging if it has host ports.
func TestNothingStarves(t *testing.T) {
	longest := 0.0
	rapid.Check(t, func(t *rapid.T) {
		const runs = 20 * time.Second // D
		config := DefaultConfig()
		config.Aging, config.Hold = time.Duration(rapid.IntRange(1, 40).Draw(t, "aging"))*time.Second, runs
		var nodes []Node
		for i := range rapid.IntRange(1, 4).Draw(t, "nodes") {
			nodes = append(nodes, node(fmt.Sprint("n", i), rapid.Int64Range(5, 10).Draw(t, "cpu"), rapid.Int64Range(5, 10).Draw(t, "memory"), 0.5))
		}
		c, err := New(config, nodes...)
		if err != nil {
			t.Fatal(err)
		}
		var coming []*job
		now := time.Duration(0)
		small := rapid.IntRange(1, 10).Draw(t, "small") // share of ten that are small
		for i := range rapid.IntRange(20, 150).Draw(t, "jobs") {
			j := &job{Replica: Replica{ID: fmt.Sprint("j", i), Entropy: rapid.Float64Range(0, 1).Draw(t, "E_c")}}
			j.CPU, j.Memory = rapid.Int64Range(1, 10).Draw(t, "cpu"), rapid.Int64Range(1, 10).Draw(t, "memory")
			if rapid.IntRange(1, 10).Draw(t, "is small") <= small {
				j.CPU, j.Memory = 1+j.CPU/4, 1+j.Memory/4
			}
			if rapid.IntRange(0, 9).Draw(t, "listens") == 0 {
				j.Ports = []HostPort{{Protocol: "tcp", Port: 80}}
			}
			now += time.Duration(rapid.IntRange(0, 3000).Draw(t, "gap")) * time.Millisecond
			j.comes, j.runs = now, time.Duration(rapid.IntRange(1000, 20_000).Draw(t, "runs"))*time.Millisecond
			coming = append(coming, j)
		}
		jobs := map[string]*job{}
		var running []*job
		settle := func(decisions []Decision, err error) {
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range decisions {
				j := jobs[d.Replica]
				if d.Outcome == Refused {
					delete(jobs, d.Replica)
					continue
				}
				if d.Outcome != Placed {
					continue
				}
				if d.Waited > config.Aging {
					if j.bound == 0 || d.Waited > j.bound {
						t.Fatalf("%s waited %v, the bound is %v", j.ID, d.Waited, j.bound)
					}
					longest = max(longest, float64(d.Waited)/float64(j.bound))
				}
				j.ends = c.now.Add(j.runs)
				running = append(running, j)
			}
		}
		for len(coming)+len(running) > 0 {
			// The next event, an end before an arrival.
			at := time.Unix(1<<40, 0)
			first := -1
			for i, j := range running {
				if j.ends.Before(at) {
					at, first = j.ends, i
				}
			}
			if len(coming) > 0 && start.Add(coming[0].comes).Before(at) {
				at, first = start.Add(coming[0].comes), -1
			}
			for _, r := range c.inTurn() {
				if j := jobs[r.ID]; j.bound == 0 && !r.since.Add(config.Aging).After(at) {
					k := 0
					for _, other := range c.inTurn() {
						if byArrival(other, r) < 0 {
							k++
						}
					}
					j.bound = config.Aging + time.Duration(k+2)*runs
					if len(j.Ports) > 0 {
						j.bound = config.Aging + 3*time.Duration(k+2)*runs
					}
				}
			}
			if first >= 0 {
				id := running[first].ID
				running = slices.Delete(running, first, first+1)
				settle(c.Release(at, id))
			} else {
				j := coming[0]
				coming = coming[1:]
				jobs[j.ID] = j
				settle(c.Place(at, j.Replica))
			}
			checkCluster(t, c)
		}
		if n := c.queue.len(); n > 0 {
			t.Fatalf("%d replicas wait for ever", n)
		}
		if cycle := c.Status().Cycle; cycle.Arrivals > 0 {
			checkCycle(t, cycle)
		}
	})
	t.Logf("the longest wait took %.0f %% of its bound", 100*longest)
	if longest == 0 {
		t.Error("nobody waited beyond the aging: nothing was shown")
	}
}

// checkCycle checks Little's law to 1 %, as row 36 asks.
func checkCycle(t interface{ Fatalf(string, ...any) }, c Cycle) {
	if l, law := c.Length(), c.Law(); math.Abs(l-law) > 0.01*l || !(l > 0) {
		t.Fatalf("L = %v, λW = %v: %+v", l, law, c)
	}
}

func TestLittlesLaw(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5))
	place(t, c, Replica{ID: "0", CPU: 1000}, Replica{ID: "1", CPU: 1000, Entropy: 0.5}, Replica{ID: "2", CPU: 1000, Entropy: 0.4})
	if c.Status().Cycle != (Cycle{}) {
		t.Error("a cycle before the queue is empty")
	}
	release(t, c, start.Add(2*time.Second), "0")
	release(t, c, start.Add(6*time.Second), "1")
	// 2 waited for 2 s and 1 for 4 s: L = 8/6, λ = 2/6, W = 4.
	want := Cycle{Began: start, Ended: start.Add(6 * time.Second), Arrivals: 2, WaitSeconds: 8, LengthSeconds: 8}
	if got := c.Status().Cycle; got != want || got.Sojourn() != 4*time.Second || got.Rate() != 2./6 {
		t.Errorf("%+v, want %+v", got, want)
	}
	checkCycle(t, c.Status().Cycle)
	if (Cycle{}).Law() != 0 || (Cycle{}).Length() != 0 {
		t.Error("an empty cycle has facts")
	}
}

// A replica that waits although a node has room for it is what routing success
// counts: not one that was given up, nor one for which there is no room.
func TestOverdue(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5), node("b", 500, 1<<30, 0.5))
	place(t, c, Replica{ID: "1", CPU: 500, Constraints: []Constraint{parse(t, "node.id==a")}}, Replica{ID: "2", CPU: 500, Constraints: []Constraint{parse(t, "node.id==b")}})
	place(t, c, Replica{ID: "large", CPU: 900, Waited: DefaultAging})
	wantPlaced(t, place(t, c, Replica{ID: "small", CPU: 100}, Replica{ID: "full", CPU: 600}), "", "")
	if s := c.Status(); s.Overdue != 0 || s.Success != 1 {
		t.Errorf("within the bound: %+v", s)
	}
	// a is held for large, and has room for small.
	if n := c.Overdue(start.Add(2*DefaultAging - 1)); n != 0 {
		t.Errorf("%d are overdue too early", n)
	}
	if n := c.Overdue(start.Add(2 * DefaultAging)); n != 1 {
		t.Errorf("%d are overdue, want small", n)
	}
	release(t, c, start, "small")
	if n := c.Overdue(start.Add(2 * DefaultAging)); n != 0 {
		t.Errorf("%d are overdue, none of which has room", n)
	}
	if s := c.Status(); s.Cancelled != 1 || s.Success != 1 {
		t.Errorf("given up: %+v", s)
	}
}

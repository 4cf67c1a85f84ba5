//go:build vm

package qemu_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/entroos/entroos/equations"
)

// explanation is what `router explain --json` prints, as far as the test looks
// at it.
type explanation struct {
	Hypothetical bool
	Decision     struct {
		Replica struct {
			Name    string
			Entropy *float64
		}
		Outcome    string
		Reason     string
		Target     float64
		Weight     float64
		Candidates []struct {
			Hostname                              string
			Entropy, Capacity, Usage, Score, Rank float64
			Demand                                float64
			DominantShare                         float64 `json:"dominant_share"`
			Chosen                                bool
			Reason                                string
			CPUMilli                              uint64 `json:"cpu_milli"`
			MemoryBytes                           uint64 `json:"memory_bytes"`
		}
	}
}

// routerStatus is what `router status --json` prints, in part.
type routerStatus struct {
	Nodes []struct {
		Usage             float64
		CommittedCPUMilli uint64 `json:"committed_cpu_milli"`
		Replicas          []struct{ Name string }
	}
	Queue []struct {
		Replica struct{ Name string }
		Reason  string
	}
}

func (b *box) state(name string) string {
	b.Helper()
	var all []struct {
		Spec  struct{ Name string }
		State string
	}
	b.get(&all, "ps", "-a")
	for _, c := range all {
		if c.Spec.Name == name {
			return c.State
		}
	}
	return "absent"
}

// TestPlacement: the box asks routerd before it starts a workload, and does
// without one that is killed.
func TestPlacement(t *testing.T) {
	t.Parallel()
	b := boot(t, nil)
	b.importFixture("busybox.tar")

	// It is placed by the model, and the numbers add up.
	b.run("run", "-d", "--name", "one", "busybox", "sleep", "100000")
	var e explanation
	b.get(&e, "router", "explain", "one")
	d := e.Decision
	if e.Hypothetical || d.Outcome != "placed" || d.Replica.Name != "one" || len(d.Candidates) != 1 || !d.Candidates[0].Chosen {
		t.Fatalf("the decision on it: %+v", e)
	}
	n := d.Candidates[0]
	if d.Replica.Entropy == nil || *d.Replica.Entropy <= 0 || *d.Replica.Entropy > 1 {
		t.Errorf("E_c of an image that was imported is %v", d.Replica.Entropy)
	} else if s := equations.RoutingScore(n.Entropy, *d.Replica.Entropy, n.Capacity, n.Usage, d.Target); s != n.Score {
		t.Errorf("score %v, by equation 13 %v", n.Score, s)
	} else if k := equations.PriorityBlend(s, s, n.Capacity, n.Usage+n.Demand, d.Weight); k != n.Rank { // the only one, as it is with it
		t.Errorf("rank %v, by equation 14 %v", n.Rank, k)
	}
	if n.Capacity != 1 || n.CPUMilli == 0 || n.Demand != 10/float64(n.CPUMilli) || d.Target != 0.2 || d.Weight != 0.7 {
		t.Errorf("a lone box is a candidate with %+v, T %v, w %v", n, d.Target, d.Weight)
	}
	if out := b.run("router", "explain", "one"); !strings.Contains(out, "chosen") || !strings.Contains(out, fmt.Sprintf("%.4f", n.Score)) {
		t.Errorf("router explain:\n%s", out)
	}
	if out := b.run("status"); !strings.Contains(out, "by routerd") {
		t.Errorf("status does not say that routerd places:\n%s", out)
	}

	// What can never fit is refused, and leaves nothing.
	_, stderr, exit := b.try("run", "--name", "huge", "-m", "2g", "--memory-reservation", "1g", "busybox", "true")
	if exit != 125 || !strings.Contains(stderr, "huge") || !strings.Contains(stderr, "1.0 GiB") {
		t.Errorf("too large for the box: exit %d: %s", exit, stderr)
	}
	_, stderr, exit = b.try("run", "--constraint", "node.labels.room==attic", "busybox", "true")
	if exit != 125 || !strings.Contains(stderr, "node.labels.room==attic") {
		t.Errorf("a constraint that does not hold: exit %d: %s", exit, stderr)
	}
	b.run("config", "set", "labels", "{room: attic}")
	b.run("run", "--rm", "--constraint", "node.labels.room==attic", "busybox", "true")
	if s := b.state("huge"); s != "absent" {
		t.Errorf("the refused one is %s", s)
	}
	cores := float64(n.CPUMilli) / 1000
	ask := func(share float64) string { return fmt.Sprintf("%.3f", share*cores) }

	// CPU that is all given away: the next waits.
	b.run("run", "-d", "--name", "big", "--cpu-request", ask(0.9), "--stop-timeout", "1", "busybox", "sleep", "100000")
	if _, stderr, exit := b.try("run", "-d", "--name", "waits", "--cpu-request", ask(0.5), "--stop-timeout", "1", "busybox", "sleep", "100000"); exit != 0 || !strings.Contains(stderr, "waits is queued") {
		t.Errorf("a container for which there is no room: exit %d: %s", exit, stderr)
	}
	if out := b.run("ps"); !strings.Contains(out, "Queued") || !strings.Contains(out, "millicores") {
		t.Errorf("ps does not tell of it:\n%s", out)
	}

	// One that waits is given up by whoever stops it.
	b.run("run", "-d", "--rm", "--name", "third", "--cpu-request", ask(0.5), "busybox", "true")
	b.run("stop", "third")
	if s := b.state("third"); s != "absent" {
		t.Errorf("one to be removed that was stopped while it waited is %s", s)
	}

	// routerd is killed: a run right then works, and what was placed, or waited,
	// is known to the next one.
	b.run("services", "kill", "routerd")
	b.run("run", "--rm", "busybox", "true")
	b.until("routerd to know all again", func() (bool, string) {
		var s routerStatus
		out, stderr, exit := b.try("router", "status")
		if exit != 0 {
			return false, stderr
		}
		b.get(&s, "router", "status")
		if len(s.Nodes) != 1 || len(s.Queue) != 1 {
			return false, out
		}
		var names []string
		for _, r := range s.Nodes[0].Replicas {
			names = append(names, r.Name)
		}
		slices.Sort(names)
		return slices.Equal(names, []string{"big", "one"}) && s.Queue[0].Replica.Name == "waits", out
	})
	if s := b.state("waits"); s != "queued" {
		t.Errorf("with another routerd it is %s", s)
	}

	// Room appears.
	b.run("stop", "big")
	b.until("the container that waited", func() (bool, string) {
		s := b.state("waits")
		return s == "running", s
	})
	b.run("rm", "-f", "waits")

	// An attached run says that it waits, and runs when another has ended.
	b.run("run", "-d", "--rm", "--cpu-request", ask(0.9), "busybox", "sleep", "3")
	stdout, stderr, exit := b.try("run", "--rm", "--name", "patient", "--cpu-request", ask(0.5), "busybox", "echo", "room")
	if exit != 0 || stdout != "room\n" || !strings.Contains(stderr, "patient is queued") {
		t.Errorf("a run that had to wait: exit %d, stdout %q, stderr %s", exit, stdout, stderr)
	}
	b.until("all to be given back", func() (bool, string) {
		var s routerStatus
		b.get(&s, "router", "status")
		return len(s.Nodes) == 1 && s.Nodes[0].CommittedCPUMilli == 10, fmt.Sprintf("%+v", s)
	})
	var services []struct {
		Name   string
		Memory uint64 `json:"memory_bytes"`
	}
	b.get(&services, "services")
	for _, s := range services {
		if s.Name == "routerd" {
			t.Logf("routerd: %.1f MiB", float64(s.Memory)/(1<<20))
		}
	}
}

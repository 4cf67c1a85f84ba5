package router

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Candidate is a node as it was looked at for a replica.
type Candidate struct {
	Node                     string
	Entropy, Capacity, Usage float64 // E_n, C_n, U_n
	Score                    float64 // S
	// Rank is K, at U_n + d: as it would be with the replica. It is 0 where the
	// verdict is not Fits.
	Rank          float64
	Demand        float64 // d, as U_n is
	DominantShare float64 // of the replica's demand in what the node has (38)
	Verdict       Verdict
	Chosen        bool
	CPU, Memory   int64  // room that was left, millicores and bytes
	By            string // what stands in the way: a replica, or a constraint
}

// An Explanation tells how a replica was, or would be, placed.
type Explanation struct {
	Replica  Replica
	Decision Decision
	// Recorded tells that the candidates are those of the decision itself.
	// Otherwise they are as they would be now: for a replica that waits, one that
	// was adopted, and in clusters of more than RecordedNodes nodes.
	Recorded bool
	// Since is when it joined the queue, Due when a node is held for it, HeldNode
	// that node. They are zero for a replica that does not wait.
	Since, Due time.Time
	HeldNode   string
	// EntropyLeftOut tells that no node was healthy, so that each E_n counted as 1.
	EntropyLeftOut bool
	Candidates     []Candidate // those that fit, the highest rank first, then by id; the others by id
}

// RecordedNodes is the largest cluster in which each decision keeps what it was
// made of.
const RecordedNodes = 64

// Explain tells how the replica was placed, or why it waits.
func (c *Cluster) Explain(id string) (Explanation, error) {
	r := c.replicas[id]
	if r == nil {
		return Explanation{}, fmt.Errorf("%w: %s", ErrUnknownReplica, id)
	}
	e := Explanation{Replica: r.Replica.clone(), Decision: r.decision, EntropyLeftOut: !c.anyHealth}
	switch {
	case r.on == nil:
		reason, _ := c.obstacles(r)
		e.Decision = Decision{Replica: id, Outcome: Queued, At: r.entered, Reason: reason, Waited: c.now.Sub(r.since)}
		e.Since, e.Due = r.since, r.since.Add(c.config.Aging)
		if r.hold != nil {
			e.HeldNode = r.hold.ID
		}
		e.Candidates = c.candidates(r)
	case r.seen != nil:
		e.Recorded, e.EntropyLeftOut = true, r.leftOut
		e.Candidates = slices.Clone(r.seen)
	default:
		e.Candidates = c.candidatesWithout(r)
	}
	e.arrange()
	return e, nil
}

// candidatesWithout looks at every node for a replica that is placed, as it would
// be without it. Nothing is changed, nor is any order.
func (c *Cluster) candidatesWithout(r *replica) []Candidate {
	m := r.on
	running, ports := slices.Clone(m.running), slices.Clone(m.ports)
	c.uncommit(r)
	candidates := c.candidates(r)
	c.commit(r, m)
	m.running, m.ports = running, ports
	for i, other := range running {
		other.slot = i
	}
	return candidates
}

// Consider tells how a replica that is not in the cluster would be decided on
// now, all nodes being looked at. Nothing is changed.
func (c *Cluster) Consider(given Replica) (Explanation, error) {
	if err := given.validate(); err != nil {
		return Explanation{}, err
	}
	if c.replicas[given.ID] != nil {
		return Explanation{}, fmt.Errorf("%w: %s", ErrDuplicate, given.ID)
	}
	r := &replica{Replica: given.clone()}
	e := Explanation{Replica: r.Replica, EntropyLeftOut: !c.anyHealth, Candidates: c.candidates(r)}
	if best, found := c.scan(r); found {
		e.Decision = c.decide(r, best)
	} else {
		e.Decision = Decision{Replica: r.ID, Outcome: Queued, At: c.now}
		var never bool
		if e.Decision.Reason, never = c.obstacles(r); never {
			e.Decision.Outcome = Refused
		}
	}
	e.arrange()
	return e, nil
}

// arrange marks the candidate that was chosen and orders them all.
func (e *Explanation) arrange() {
	for i := range e.Candidates {
		e.Candidates[i].Chosen = e.Decision.Outcome == Placed && e.Candidates[i].Node == e.Decision.Node
	}
	slices.SortStableFunc(e.Candidates, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(min(a.Verdict, 1), min(b.Verdict, 1)), cmp.Compare(b.Rank, a.Rank), cmp.Compare(a.Node, b.Node))
	})
}

// candidates looks at every node for a replica.
func (c *Cluster) candidates(r *replica) []Candidate {
	k := &c.columns
	candidates := make([]Candidate, len(c.nodes))
	more, largest := c.share(r.CPU), 0.0
	for i, m := range c.nodes {
		v := c.verdict(m, r)
		candidates[i] = Candidate{
			Node: m.ID, Entropy: k.entropy[i], Capacity: k.capacity[i], Usage: k.usage[i],
			Score: c.score(i, r.entropy()), Verdict: v,
			Demand: c.share(r.CPU), DominantShare: r.dominantShare(m.CPU, m.Memory),
			CPU: m.CPU - m.cpu, Memory: m.Memory - m.mem, By: c.by(v, m, r),
		}
		if v == Fits {
			largest = max(largest, k.open[i].prospect(more, c.config.Target))
		}
	}
	for i := range candidates {
		if candidates[i].Verdict == Fits {
			candidates[i].Rank = c.rank(i, more, k.open[i].prospect(more, c.config.Target), largest)
		}
	}
	return candidates
}

// by names what a verdict is due to.
func (c *Cluster) by(v Verdict, m *member, r *replica) string {
	switch v {
	case Unmatched:
		for _, k := range r.Constraints {
			if !k.Holds(&m.Node) {
				return k.String()
			}
		}
	case PortTaken:
		return m.portTaken(r).ID
	case Held:
		return m.heldFor.ID
	}
	return ""
}

// Reason tells in words why the candidate was chosen or was not.
func (e *Explanation) Reason(k Candidate) string {
	r := &e.Replica
	switch k.Verdict {
	case Fits:
		best := k
		if len(e.Candidates) > 0 {
			best = e.Candidates[0]
		}
		switch {
		case k.Chosen && k.Node == best.Node:
			return "chosen: the highest rank"
		case k.Chosen:
			return "chosen"
		case k.Node == best.Node:
			return "the highest rank now"
		case k.Rank == best.Rank:
			return fmt.Sprintf("as good as %s, whose id comes first", best.Node)
		}
		return fmt.Sprintf("outranked by %s", best.Node)
	case Unmatched:
		return fmt.Sprintf("constraint %s does not hold", k.By)
	case CPUSize:
		return fmt.Sprintf("%d millicores are more than it has", r.CPU)
	case MemorySize:
		return fmt.Sprintf("%s are more than it has", memory(r.Memory))
	case ScoreSize:
		return "its score does not lie above θ even with nothing there"
	case Cordoned:
		return "cordoned"
	case Unhealthy:
		return "its noise source is unhealthy (E_n = 0)"
	case PortTaken:
		return fmt.Sprintf("a host port is taken by %s", k.By)
	case Held:
		return fmt.Sprintf("kept free for %s, which has waited longest", k.By)
	case CPURoom:
		return fmt.Sprintf("%d millicores asked, %d left", r.CPU, max(0, k.CPU))
	case MemoryRoom:
		return fmt.Sprintf("%s asked, %s left", memory(r.Memory), memory(max(0, k.Memory)))
	case LowScore:
		return "its score does not lie above θ"
	}
	return fmt.Sprintf("verdict %d", int(k.Verdict))
}

// memory writes an amount of memory for people.
func memory(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}

// obstacles tells why no node takes the replica, and whether none ever will:
// because each is too small, breaks a constraint, or has its port taken.
func (c *Cluster) obstacles(r *replica) (reason string, never bool) {
	if len(c.nodes) == 0 {
		return "the cluster has no nodes", true
	}
	var count [verdicts]int
	var first [verdicts]*member
	never = true
	for _, m := range c.nodes {
		v := c.verdict(m, r)
		if count[v]++; count[v] == 1 {
			first[v] = m
		}
		if !v.lasting() && v != PortTaken {
			if never = false; len(c.nodes) > RecordedNodes {
				// To look at all of a large cluster for each that waits takes long.
				return "no node has room for it now", false
			}
		}
	}
	e := Explanation{Replica: r.Replica}
	var reasons []string
	for v := Unmatched; v < verdicts; v++ {
		if count[v] == 0 {
			continue
		}
		m := first[v]
		k := Candidate{Verdict: v, CPU: m.CPU - m.cpu, Memory: m.Memory - m.mem, By: c.by(v, m, r)}
		at := "node " + m.ID
		if count[v] > 1 {
			at = fmt.Sprintf("%d nodes, such as %s", count[v], m.ID)
		}
		reasons = append(reasons, at+": "+e.Reason(k))
	}
	return strings.Join(reasons, "; "), never
}

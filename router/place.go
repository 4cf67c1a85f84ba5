package router

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Outcome is what was decided for a replica.
type Outcome int

// The outcomes.
const (
	Queued  Outcome = iota // some node could hold it, none has room now
	Placed                 // its demand is committed to the node
	Refused                // no node could hold it; nothing is kept of it
)

func (o Outcome) String() string {
	switch o {
	case Queued:
		return "queued"
	case Placed:
		return "placed"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("outcome %d", int(o))
}

// A Decision is what became of one replica.
type Decision struct {
	Replica string
	Outcome Outcome
	At      time.Time
	Node    string // where it was placed
	Reason  string // why it was queued or refused

	// Score is S of the node before the replica was committed to it, Rank its K
	// among the candidates, each as it would be with the replica.
	Score, Rank float64
	// Sequence numbers the replicas placed, from 1.
	Sequence uint64
	// Candidates is how many nodes it could have gone to, of those looked at;
	// Sampled tells that these were a sample of all.
	Candidates int
	Sampled    bool
	// Waited is how long it was in the queue.
	Waited time.Duration
	// Adopted tells that it ran there already.
	Adopted bool
}

// Place decides on replicas that arrive together, in falling E_c, then by
// rising dominant share (38), then by id. The decisions are in the order that
// the replicas were given in; after them come those on replicas that had waited
// for a node whose hold has lapsed.
//
// An error means that a replica is invalid or known already; then nothing was
// changed.
func (c *Cluster) Place(now time.Time, replicas ...Replica) ([]Decision, error) {
	given := make(map[string]bool, len(replicas))
	for i := range replicas {
		id := replicas[i].ID
		if err := replicas[i].validate(); err != nil {
			return nil, err
		}
		if given[id] || c.replicas[id] != nil {
			return nil, fmt.Errorf("%w: %s", ErrDuplicate, id)
		}
		given[id] = true
	}
	order := make([]*arrival, len(replicas))
	for i := range replicas {
		r := &replica{Replica: replicas[i].clone()}
		r.share = r.dominantShare(c.totalCPU, c.totalMem)
		order[i] = &arrival{r, i}
	}
	slices.SortFunc(order, func(a, b *arrival) int {
		return cmp.Or(
			cmp.Compare(b.Entropy, a.Entropy),
			cmp.Compare(a.share, b.share),
			strings.Compare(a.ID, b.ID))
	})
	c.advance(now)
	placed := c.settle() // first come, first served
	decisions := make([]Decision, len(replicas), len(replicas)+len(placed))
	for _, a := range order {
		decisions[a.at] = c.arrive(a.replica)
	}
	return append(decisions, placed...), nil
}

type arrival struct {
	*replica
	at int
}

// arrive decides on a replica that is new.
func (c *Cluster) arrive(r *replica) Decision {
	if best, found := c.choose(r); found {
		c.facts.placeable++
		c.replicas[r.ID] = r
		return c.put(r, best)
	}
	reason, never := c.obstacles(r)
	if never {
		c.facts.refused++
		return Decision{Replica: r.ID, Outcome: Refused, At: c.now, Reason: reason}
	}
	c.facts.placeable++
	c.replicas[r.ID] = r
	c.enqueue(r)
	return Decision{Replica: r.ID, Outcome: Queued, At: c.now, Reason: reason}
}

// put places the replica on the node chosen.
func (c *Cluster) put(r *replica, best choice) Decision {
	r.decision = c.decide(r, best)
	c.sequence = r.decision.Sequence
	if len(c.nodes) <= RecordedNodes {
		r.seen, r.leftOut = c.candidates(r), !c.anyHealth
	}
	c.facts.place(r.decision.Score)
	c.commit(r, c.nodes[best.at])
	return r.decision
}

// decide returns the decision for the node chosen.
func (c *Cluster) decide(r *replica, best choice) Decision {
	d := Decision{
		Replica: r.ID, Outcome: Placed, At: c.now, Node: c.nodes[best.at].ID,
		Score: c.score(best.at, r.entropy()), Rank: best.rank,
		Sequence: c.sequence + 1, Candidates: best.candidates, Sampled: best.sampled,
		Waited: r.Waited,
	}
	if r.queued {
		d.Waited = c.now.Sub(r.since)
	}
	return d
}

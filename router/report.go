package router

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// A Report is what a node tells of itself.
type Report struct {
	Node Node
	// Target is T from now on; 0 leaves it as it is.
	Target float64
	// Gone are replicas to forget; those that are not known are passed over.
	Gone []string
	// Running are replicas that run on the node already, as Adopt has them. One
	// that is known is forgotten first. Of several of one id the last counts.
	Running []Replica
}

// Report brings the cluster up to date with what a node tells, all of it at
// once: nothing is placed in between. It changes nothing if any of it is invalid.
func (c *Cluster) Report(now time.Time, told Report) ([]Decision, error) {
	config := c.config
	if told.Target != 0 {
		config.Target = told.Target
	}
	config, err := config.resolve()
	if err != nil {
		return nil, err
	}
	if err := told.Node.validate(); err != nil {
		return nil, err
	}
	gone := slices.Clone(told.Gone)
	last := make(map[string]int, len(told.Running))
	for i := range told.Running {
		r := &told.Running[i]
		if err := r.validate(); err != nil {
			return nil, err
		}
		last[r.ID] = i
		gone = append(gone, r.ID)
	}
	slices.Sort(gone)
	gone = slices.Compact(gone)
	if err := c.countable(&told, gone, last); err != nil {
		return nil, err
	}

	c.advance(now)
	c.config = config
	for _, id := range gone {
		if r := c.replicas[id]; r != nil {
			c.forget(r)
		}
	}
	m, added := c.upsert(told.Node)
	if added {
		c.sortNodes()
	}
	c.measure()
	for i := range told.Running {
		if r := &told.Running[i]; last[r.ID] == i {
			c.adopt(r, m)
		}
	}
	return c.settle(c.nodes...), nil
}

// countable says whether what will be committed to the node can be counted.
func (c *Cluster) countable(told *Report, gone []string, last map[string]int) error {
	var cpu, mem int64
	m := c.byID[told.Node.ID]
	if m != nil {
		cpu, mem = m.cpu, m.mem
	}
	for _, id := range gone {
		if r := c.replicas[id]; r != nil && r.on != nil && r.on == m {
			cpu -= r.CPU
			mem -= r.Memory
		}
	}
	for i := range told.Running {
		r := &told.Running[i]
		if last[r.ID] != i {
			continue
		}
		if cpu > math.MaxInt64-r.CPU || mem > math.MaxInt64-r.Memory {
			return fmt.Errorf("%w replica %s: with it, more is committed to node %s than can be counted", ErrInvalid, r.ID, told.Node.ID)
		}
		cpu += r.CPU
		mem += r.Memory
	}
	return nil
}

// upsert has a node be as it is given. c.measure must follow, and c.sortNodes
// where one was added.
func (c *Cluster) upsert(n Node) (m *member, added bool) {
	if m := c.byID[n.ID]; m != nil {
		m.Node = n.clone()
		return m, false
	}
	m = &member{Node: n.clone()}
	c.byID[n.ID] = m
	c.nodes = append(c.nodes, m)
	return m, true
}

func (c *Cluster) sortNodes() {
	slices.SortFunc(c.nodes, func(a, b *member) int { return cmp.Compare(a.ID, b.ID) })
}

// adopt commits a replica that runs on the node.
func (c *Cluster) adopt(given *Replica, m *member) {
	r := &replica{Replica: given.clone()}
	r.decision = Decision{Replica: r.ID, Outcome: Placed, At: c.now, Node: m.ID, Adopted: true}
	c.replicas[r.ID] = r
	c.commit(r, m)
}

// forget drops a replica, and returns the node that there may be more room on,
// or nil.
func (c *Cluster) forget(r *replica) *member {
	delete(c.replicas, r.ID)
	if r.on == nil {
		c.facts.cancelled++
		held := r.hold
		c.dequeue(r)
		return held
	}
	m := r.on
	m.left = c.now
	c.uncommit(r)
	return m
}

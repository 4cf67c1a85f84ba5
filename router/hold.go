package router

import (
	"slices"
	"time"
)

// hold keeps a node free for each replica that is due and has none, where one
// is to be had: of those that could hold it, the one that lacks least. A node
// where its port is taken is not kept: more room is of no use there. Nor is the
// last node that is open to all, until something has left it since the replica
// became due: where services run for ever, nothing would come of it.
//
// changed are the nodes that may be had since the last time. Who has not looked
// since it became due looks at all.
func (c *Cluster) hold(changed ...*member) {
	open := -1
	for _, r := range c.queue.due {
		nodes := changed
		if !r.looked {
			nodes = c.nodes
		}
		if r.hold != nil || len(nodes) == 0 || c.now.Before(r.rest) {
			continue
		}
		if open < 0 {
			open = c.unheld()
		}
		if open == 0 {
			return
		}
		r.looked = true
		least := 0.0
		for _, m := range nodes {
			if m.heldFor != nil || !c.couldHold(m, &r.Replica) || m.portTaken(r) != nil {
				continue
			}
			if open == 1 && m.left.Before(r.since.Add(c.config.Aging)) {
				r.looked = false // it is not the last for ever
				continue
			}
			if l := m.lacks(&r.Replica); r.hold == nil || l < least || l == least && m.at < r.hold.at {
				r.hold, least = m, l
			}
		}
		if r.hold != nil {
			r.hold.heldFor, r.heldAt = r, c.now
			c.refresh(r.hold)
			open--
		}
	}
}

// unheld is how many nodes are open to all.
func (c *Cluster) unheld() (n int) {
	for _, m := range c.nodes {
		if m.heldFor == nil && c.entropy(m) > 0 {
			n++
		}
	}
	return n
}

// mostRests bounds the rest between two holds, in doublings.
const mostRests = 6

// lapse lets go the nodes that have been kept free for Config.Hold: what runs
// there does not leave. Whoever they were kept for may have one again after a
// rest, which doubles each time. It returns the nodes.
func (c *Cluster) lapse() (opened []*member) {
	for _, r := range c.queue.due {
		if m := r.hold; m != nil && c.now.After(r.heldAt.Add(c.config.Hold)) {
			m.heldFor, r.hold = nil, nil
			c.refresh(m)
			r.rest, r.looked = c.now.Add(c.config.Hold<<min(r.lapses, mostRests)), false
			r.lapses++
			opened = append(opened, m)
		}
	}
	return opened
}

// NextLapse is the instant from which Advance may place somebody though nothing
// else changes: a node that was kept free is open again. There need not be one.
func (c *Cluster) NextLapse() (at time.Time, ok bool) {
	for _, r := range c.queue.due {
		if r.hold == nil {
			continue
		}
		if t := r.heldAt.Add(c.config.Hold + 1); !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	return at, ok
}

// Advance tells the time, and nothing else.
func (c *Cluster) Advance(now time.Time) []Decision {
	c.advance(now)
	return c.settle()
}

// lacks returns how much the node lacks for the replica: the dominant share of
// what is missing in what the node has.
func (m *member) lacks(r *Replica) float64 {
	missing := Replica{
		CPU:    max(0, r.CPU-(m.CPU-m.cpu)),
		Memory: max(0, r.Memory-(m.Memory-m.mem)),
	}
	return missing.dominantShare(m.CPU, m.Memory)
}

// with adds a node to some, unless it is one of them.
func with(nodes []*member, m *member) []*member {
	if slices.Contains(nodes, m) {
		return nodes
	}
	return append(slices.Clip(nodes), m)
}

package router

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// A queue holds the replicas that wait for room.
//
// They are tried in the order of their virtual arrival, the instant they came
// less E_c·Aging: falling E_c among those that came together, and whoever is
// older by Aging comes first whatever its E_c.
//
// Order alone does not keep small replicas from taking, time and again, the
// room that a large one needs. So a replica that has waited for Aging is due.
// Those that are due are tried before all others, in the order in which they
// came, and each has a node held for it: nothing else is placed there until it
// is placed, there or elsewhere. A node is held for one replica only; who finds
// all nodes that could hold it held already gets the next to be let go. A node
// that has been held for Config.Hold is let go, and another is held after a rest.
//
// The bound: if nodes stay as they are, and each replica leaves within D of
// being placed, D no longer than Config.Hold, then a replica without host ports
// waits no longer than
//
//	Aging + (k+2)·D
//
// where k replicas that had come before it still wait when it becomes due. For
// within D something has left each node, so that the last open one may be held.
// From then on, while it has no held node, all nodes that could hold it are held
// for some of the k; each of these nodes is empty within D of being held, so that
// at least one of the k is placed in every D. Once it has a node, that is empty
// within D. One with host ports may have to wait, for itself and each of the k,
// until its port is free, and until a node that was held meanwhile is let go:
// 3·(k+2)·D.
type queue struct {
	due     []*replica // by arrival
	waiting []*replica // by virtual arrival
	nextDue time.Time  // the earliest instant at which one of waiting is due
	arrived uint64
	cycle   cycle
}

// waiting is what the queue knows of a replica.
type waiting struct {
	share   float64   // dominant share of the cluster (38)
	entered time.Time // when it came here
	since   time.Time // entered less Replica.Waited
	virtual time.Time // since less E_c·Aging
	number  uint64    // counts arrivals
	queued  bool
	due     bool
	hold    *member   // the node held for it
	heldAt  time.Time // since when
	lapses  int       // nodes that were held for it and let go
	rest    time.Time // until when none is held after that
	looked  bool      // all nodes were looked at for one to hold; only what changes since counts
}

func (q *queue) len() int { return len(q.due) + len(q.waiting) }

// inOrder compares two that are not due.
func inOrder(a, b *replica) int {
	return cmp.Or(
		a.virtual.Compare(b.virtual),
		cmp.Compare(a.share, b.share),
		strings.Compare(a.ID, b.ID))
}

func byArrival(a, b *replica) int {
	return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.number, b.number))
}

// enqueue lets the replica wait.
func (c *Cluster) enqueue(r *replica) {
	q := &c.queue
	aging := c.config.Aging
	r.queued, r.entered, r.since, r.number = true, c.now, c.now.Add(-r.Waited), q.arrived
	r.age(aging)
	q.arrived++
	q.cycle.enter(c.now, q.len())
	at, _ := slices.BinarySearchFunc(q.waiting, r, inOrder)
	q.waiting = slices.Insert(q.waiting, at, r)
	if due := r.since.Add(aging); len(q.waiting) == 1 || due.Before(q.nextDue) {
		q.nextDue = due
	}
}

// age sets the virtual arrival.
func (r *replica) age(aging time.Duration) {
	r.virtual = r.since.Add(-time.Duration(r.entropy() * float64(aging)))
}

// reorder orders the queue anew for another aging.
func (q *queue) reorder(aging time.Duration) {
	for i, r := range q.waiting {
		r.age(aging)
		if due := r.since.Add(aging); i == 0 || due.Before(q.nextDue) {
			q.nextDue = due
		}
	}
	slices.SortFunc(q.waiting, inOrder)
}

// dequeue takes the replica out of the queue.
func (c *Cluster) dequeue(r *replica) {
	q := &c.queue
	if r.due {
		at, _ := slices.BinarySearchFunc(q.due, r, byArrival)
		q.due = slices.Delete(q.due, at, at+1)
	} else {
		at, _ := slices.BinarySearchFunc(q.waiting, r, inOrder)
		q.waiting = slices.Delete(q.waiting, at, at+1)
	}
	q.cycle.leave(c.now, c.now.Sub(r.entered), q.len())
	if m := r.hold; m != nil {
		m.heldFor, r.hold = nil, nil
		c.refresh(m)
	}
}

// elapse tells the queue that time went by.
func (q *queue) elapse(from, to time.Time) { q.cycle.elapse(from, to, q.len()) }

// promote makes those due who have waited for Aging.
func (c *Cluster) promote() {
	q := &c.queue
	if len(q.waiting) == 0 || c.now.Before(q.nextDue) {
		return
	}
	limit := c.now.Add(-c.config.Aging)
	var earliest time.Time
	kept := q.waiting[:0]
	for _, r := range q.waiting {
		if !r.since.After(limit) {
			r.due = true
			q.due = append(q.due, r)
			continue
		}
		if len(kept) == 0 || r.since.Before(earliest) {
			earliest = r.since
		}
		kept = append(kept, r)
	}
	clear(q.waiting[len(kept):])
	q.waiting = kept
	q.nextDue = earliest.Add(c.config.Aging)
	slices.SortFunc(q.due, byArrival)
}

// settle places those that wait for room on the nodes where there may be more
// of it, until none fits any longer.
func (c *Cluster) settle(opened ...*member) (placed []Decision) {
	for _, m := range c.lapse() {
		opened = with(opened, m)
	}
	for c.queue.len() > 0 {
		if c.hold(opened...); len(opened) == 0 {
			break
		}
		again := false
		for _, r := range c.inTurn() {
			best, found := c.chooseAmong(r, opened)
			if !found {
				continue
			}
			held := r.hold
			c.dequeue(r)
			placed = append(placed, c.put(r, best))
			if held != nil {
				// Its node is open to others, the first in line before all.
				opened, again = with(opened, held), true
				break
			}
		}
		if !again {
			break
		}
	}
	return placed
}

// inTurn returns all that wait, in the order in which they are tried.
func (c *Cluster) inTurn() []*replica { return slices.Concat(c.queue.due, c.queue.waiting) }

// chooseAmong returns the best of a few nodes for a replica that waits, to
// which all others have nothing to offer.
func (c *Cluster) chooseAmong(r *replica, nodes []*member) (choice, bool) {
	found := c.scratch.found[:0]
	more, largest := c.share(r.CPU), -1.0
	for _, m := range nodes {
		if c.verdict(m, r) != Fits {
			continue
		}
		score := c.columns.open[m.at].prospect(more, c.config.Target)
		largest = max(largest, score)
		found = append(found, prospect{score, c.columns.open[m.at].used(more), int32(m.at)})
	}
	c.scratch.found = found
	return c.among(r, found, largest)
}

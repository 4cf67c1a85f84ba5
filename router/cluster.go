package router

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// A Cluster holds the nodes, what is committed to them, and the replicas that
// wait for room. It is not safe for concurrent use.
//
// Every method that changes something is told the time. Only differences count,
// so any clock that does not leap will do; a time before the last one told
// counts as the last one. Methods that may make room return the decisions on
// the replicas that had waited for it.
//
// Between calls these hold: nodes are in the order of their ids; no replica
// that waits would be placed if it were tried again; no node holds more than
// its capacity of CPU or memory, unless by Adopt, or because it shrank.
type Cluster struct {
	config Config
	sample int // d of equation 24

	now      time.Time
	sequence uint64 // replicas placed so far

	nodes     []*member // by id
	byID      map[string]*member
	replicas  map[string]*replica // those placed and those waiting
	columns   columns
	largest   int64 // millicores that count as 1
	totalCPU  int64
	totalMem  int64
	anyHealth bool // some node is healthy, so that entropy counts

	queue   queue
	facts   facts
	scratch scratch
}

// A member is a node with what is committed to it.
type member struct {
	Node
	at       int // index in nodes and columns
	cpu, mem int64
	running  []*replica
	ports    []portUse
	heldFor  *replica  // a due replica that the node is kept free for
	left     time.Time // when a replica was last released from it
}

type portUse struct {
	HostPort
	by *replica
}

// A replica is a Replica with its place: on a node, or in the queue.
type replica struct {
	Replica
	on       *member     // nil while it waits
	slot     int         // index in on.running
	decision Decision    // that placed it
	seen     []Candidate // what decision was made of, in small clusters
	leftOut  bool        // entropy was, in decision
	waiting
}

// New returns a cluster of the nodes given, which may be none.
func New(config Config, nodes ...Node) (*Cluster, error) {
	config, err := config.resolve()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		config:   config,
		sample:   config.sampleSize(),
		byID:     make(map[string]*member, len(nodes)),
		replicas: make(map[string]*replica),
	}
	_, err = c.SetNodes(time.Time{}, nodes...)
	return c, err
}

// Config returns the configuration, with its defaults put in.
func (c *Cluster) Config() Config { return c.config }

// SetConfig changes what placement is governed by; what is placed stays.
func (c *Cluster) SetConfig(now time.Time, config Config) ([]Decision, error) {
	config, err := config.resolve()
	if err != nil {
		return nil, err
	}
	c.advance(now)
	c.config, c.sample = config, config.sampleSize()
	c.queue.reorder(config.Aging)
	c.promote()
	c.measure()
	return c.settle(c.nodes...), nil
}

// SetNodes adds the nodes, or brings those known by their id up to date. It
// changes nothing if one of them is invalid.
func (c *Cluster) SetNodes(now time.Time, nodes ...Node) ([]Decision, error) {
	for i := range nodes {
		if err := nodes[i].validate(); err != nil {
			return nil, err
		}
	}
	c.advance(now)
	added := false
	for _, n := range nodes {
		_, isNew := c.upsert(n)
		added = added || isNew
	}
	if added {
		c.sortNodes()
	}
	c.measure()
	return c.settle(c.nodes...), nil
}

// RemoveNode forgets a node, and returns the ids of the replicas that were
// placed on it, in order: they are gone from the cluster, to be placed anew.
func (c *Cluster) RemoveNode(now time.Time, id string) (lost []string, placed []Decision, err error) {
	m := c.byID[id]
	if m == nil {
		return nil, nil, fmt.Errorf("%w: %s", ErrUnknownNode, id)
	}
	c.advance(now)
	for _, r := range m.running {
		lost = append(lost, r.ID)
		delete(c.replicas, r.ID)
	}
	slices.Sort(lost)
	if m.heldFor != nil {
		m.heldFor.hold, m.heldFor = nil, nil
	}
	delete(c.byID, id)
	c.nodes = slices.Delete(c.nodes, m.at, m.at+1)
	c.measure()
	// With the largest node gone, or the last healthy one, all may have changed.
	return lost, c.settle(c.nodes...), nil
}

// Adopt records that a replica runs on a node already, without a decision: as
// after a restart of the router. Since it is a fact, it may take more than the
// node has.
func (c *Cluster) Adopt(now time.Time, r Replica, node string) error {
	if err := r.validate(); err != nil {
		return err
	}
	if c.replicas[r.ID] != nil {
		return fmt.Errorf("%w: %s", ErrDuplicate, r.ID)
	}
	m := c.byID[node]
	if m == nil {
		return fmt.Errorf("%w: %s", ErrUnknownNode, node)
	}
	if m.cpu > math.MaxInt64-r.CPU || m.mem > math.MaxInt64-r.Memory {
		return fmt.Errorf("%w replica %s: with it, more is committed to node %s than can be counted", ErrInvalid, r.ID, node)
	}
	c.advance(now)
	c.adopt(&r, m)
	return nil
}

// Release forgets a replica: one that ended, whose room may go to others, or
// one that waited and wants to no longer.
func (c *Cluster) Release(now time.Time, id string) ([]Decision, error) {
	r := c.replicas[id]
	if r == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknownReplica, id)
	}
	c.advance(now)
	if m := c.forget(r); m != nil {
		return c.settle(m), nil
	}
	return c.settle(), nil
}

// commit gives the replica its place on the node.
func (c *Cluster) commit(r *replica, m *member) {
	m.cpu += r.CPU
	m.mem += r.Memory
	r.on, r.slot = m, len(m.running)
	m.running = append(m.running, r)
	for _, p := range r.Ports {
		m.ports = append(m.ports, portUse{p, r})
	}
	c.refresh(m)
}

// uncommit takes the replica's place on its node away.
func (c *Cluster) uncommit(r *replica) {
	m := r.on
	m.cpu -= r.CPU
	m.mem -= r.Memory
	last := len(m.running) - 1
	m.running[r.slot] = m.running[last]
	m.running[r.slot].slot = r.slot
	m.running[last] = nil
	m.running = m.running[:last]
	m.ports = slices.DeleteFunc(m.ports, func(p portUse) bool { return p.by == r })
	r.on = nil
	c.refresh(m)
}

// Errors of calls that name what is not there, or is there already.
var (
	ErrUnknownNode    = errors.New("router: no such node")
	ErrUnknownReplica = errors.New("router: no such replica")
	ErrDuplicate      = errors.New("router: a replica of this id is placed or waits already")
)

// advance sets the time and makes those that have waited long enough due.
func (c *Cluster) advance(now time.Time) {
	if now.After(c.now) {
		c.queue.elapse(c.now, now)
		c.now = now
	}
	c.promote()
}

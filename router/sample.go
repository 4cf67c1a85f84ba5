package router

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Sampling (equation 24) draws nodes until d different ones could take the
// replica, which does no worse than the equation's draws with replacement. Where
// half of all nodes have been drawn and d are not found yet, all are scanned. It
// uses no state but the cluster's: the generator is ChaCha8 (C2SP chacha8rand),
// seeded with
//
//	SHA-256(replica id ‖ number of replicas placed so far, 64 bits big-endian)
//
// and each 64 bits of it serve two draws, the low half first: the node drawn from
// n is the one whose index is the high half of those 32 bits times n (of a
// million, none is more likely than another by more than 1 in 4,000). A node that
// was drawn before is drawn again.

// auditEvery is how many sampled decisions go by until one is scanned in full,
// to see where the node chosen stands among all.
const auditEvery = 1000

// A sampler is what draws reuse.
type sampler struct {
	drawn []uint32 // the last draw that each node was in
	draw  uint32
	seed  []byte
	noise rand.ChaCha8
}

// start seeds the generator for a draw from n nodes.
func (s *sampler) start(n int, id string, sequence uint64) {
	if s.draw++; len(s.drawn) != n || s.draw == 0 {
		s.drawn, s.draw = make([]uint32, n), 1
	}
	s.seed = append(s.seed[:0], id...)
	s.seed = binary.BigEndian.AppendUint64(s.seed, sequence)
	s.noise.Seed(sha256.Sum256(s.seed))
}

// draw returns a sample of the nodes that the replica could go to. It is not enough where nodes have little room.
func (c *Cluster) draw(r *replica) (found []prospect, largest float64, enough bool) {
	s := &c.scratch.sampler
	s.start(len(c.nodes), r.ID, c.sequence)
	open, drawn, draw, plain := c.columns.open, s.drawn, s.draw, c.plain(r)
	found, largest = c.scratch.found[:0], -1
	more, t := c.share(r.CPU), c.config.Target
	var random uint64
	n := uint64(len(drawn))
	for left, k := n/2, 0; left > 0 && len(found) < c.sample; k++ {
		if random >>= 32; k&1 == 0 {
			random = s.noise.Uint64()
		}
		i := uint64(uint32(random)) * n >> 32
		if drawn[i] == draw {
			continue
		}
		drawn[i] = draw
		left--
		o := &open[i]
		if o.cpu < r.CPU || o.mem < r.Memory || !plain && c.verdict(c.nodes[i], r) != Fits {
			continue // as candidate has it
		}
		score := o.prospect(more, t)
		largest = max(largest, score)
		found = append(found, prospect{score, o.used(more), int32(i)})
	}
	c.scratch.found = found
	return found, largest, len(found) == c.sample
}

// audit scans all nodes for a decision that was sampled, and records at which
// quantile of the candidates the node chosen stands.
func (c *Cluster) audit(r *replica, chosen choice) {
	plain, more := c.plain(r), c.share(r.CPU)
	candidates, largest := 0, 0.0
	for i := range c.nodes {
		if c.candidate(i, r, plain) {
			candidates++
			largest = max(largest, c.columns.open[i].prospect(more, c.config.Target))
		}
	}
	rank := func(i int) float64 {
		return c.rank(i, more, c.columns.open[i].prospect(more, c.config.Target), largest)
	}
	least, above := rank(chosen.at), 0
	for i := range c.nodes {
		if c.candidate(i, r, plain) && rank(i) > least {
			above++
		}
	}
	c.facts.audit(above, candidates)
}

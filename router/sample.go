package router

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// Sampling (equation 24) draws nodes without replacement until d of them could
// take the replica, or none is left. Drawing so does no worse than the
// equation's independent draws. It uses no state but the cluster's: the
// generator is ChaCha8 (C2SP chacha8rand), seeded with
//
//	SHA-256(replica id ‖ number of replicas placed so far, 64 bits big-endian)
//
// and the j-th draw from n nodes takes, of the n−j left, the one whose index is
// the high half of the generator's next 64 bits times n−j (a bias below
// 2⁻⁴⁰ for a million nodes).

// auditEvery is how many sampled decisions go by until one is scanned in full,
// to see where the node chosen stands among all.
const auditEvery = 1000

// A permutation is the order in which nodes are drawn. Between draws it is the
// identity: the swaps of a draw are taken back in reverse.
type permutation struct {
	order []int32
	swaps []int32
	seed  []byte
	noise rand.ChaCha8
}

// start seeds the generator for a draw from n nodes.
func (p *permutation) start(n int, id string, sequence uint64) {
	if len(p.order) != n {
		p.order = make([]int32, n)
		for i := range p.order {
			p.order[i] = int32(i)
		}
	}
	p.swaps = p.swaps[:0]
	p.seed = append(p.seed[:0], id...)
	p.seed = binary.BigEndian.AppendUint64(p.seed, sequence)
	p.noise.Seed(sha256.Sum256(p.seed))
}

// next draws one more node.
func (p *permutation) next() int {
	k := len(p.swaps)
	high, _ := bits.Mul64(p.noise.Uint64(), uint64(len(p.order)-k))
	j := k + int(high)
	p.order[k], p.order[j] = p.order[j], p.order[k]
	p.swaps = append(p.swaps, int32(j))
	return int(p.order[k])
}

// undo takes all draws back.
func (p *permutation) undo() {
	for k := len(p.swaps) - 1; k >= 0; k-- {
		j := p.swaps[k]
		p.order[k], p.order[j] = p.order[j], p.order[k]
	}
}

// draw returns a sample of the nodes that the replica could go to, and the
// largest base among them.
func (c *Cluster) draw(r *replica) ([]int32, float64) {
	p := &c.scratch.permutation
	p.start(len(c.nodes), r.ID, c.sequence)
	candidates, largest := c.scratch.candidates[:0], 0.0
	for range c.nodes {
		i := p.next()
		if !c.candidate(i, r) {
			continue
		}
		candidates = append(candidates, int32(i))
		if b := c.columns.base[i]; b > largest {
			largest = b
		}
		if len(candidates) == c.sample {
			break
		}
	}
	p.undo()
	c.scratch.candidates = candidates
	return candidates, largest
}

// audit scans all nodes for a decision that was sampled, and records at which
// quantile of the candidates the node chosen stands.
func (c *Cluster) audit(r *replica, chosen choice) {
	candidates, largest := c.scan(r)
	rank := c.rank(chosen.at, largest)
	above := 0
	for _, i := range candidates {
		if c.rank(int(i), largest) > rank {
			above++
		}
	}
	c.facts.audit(above, len(candidates))
}

package search

import (
	"github.com/entroos/entroos/morphzip"
	"github.com/entroos/entroos/morphzip/filter"
)

// plan is which blocks of a file are to be looked at.
type plan struct {
	known []known
	// lines is how many newlines are before each block; nil where that is not
	// known of all.
	lines []uint64
}

// known is what a filter tells of a block; what it does not tell is the worst.
type known struct {
	filter.Filter
	filtered bool
	open     bool // its last line may go on in the next block
}

// span is blocks from one to another, including it, that are searched one after
// the other: their lines go on from block to block.
type span struct{ from, to int }

func newPlan(blocks []morphzip.Block) *plan {
	p := &plan{known: make([]known, len(blocks)), lines: make([]uint64, len(blocks))}
	total := uint64(0)
	for i, b := range blocks {
		f, err := filter.Parse(b.Filter)
		p.known[i] = known{Filter: f, filtered: err == nil, open: i+1 < len(blocks) && (err != nil || !f.Complete())}
		if err != nil {
			p.lines = nil
		}
		if p.lines != nil {
			p.lines[i] = total
			total += f.Lines
		}
	}
	return p
}

// alone says whether no line of the block is in another one too.
func (p *plan) alone(i int) bool { return !p.known[i].open && (i == 0 || !p.known[i-1].open) }

// whole is a single span, of all blocks.
func (p *plan) whole() []span {
	if len(p.known) == 0 {
		return nil
	}
	return []span{{0, len(p.known) - 1}}
}

// all are spans of all blocks.
func (p *plan) all() []span { return p.spans(func(int) bool { return true }) }

// candidates are spans of the blocks that may hold a line that matches.
func (p *plan) candidates(q *Query) (spans []span, asked int) {
	if q.none {
		return nil, 0
	}
	candidate := make([]bool, len(p.known))
	for i := range p.known {
		if p.mayMatch(i, q) {
			candidate[i] = true
		}
		if p.known[i].open && p.mayStraddle(i, q) {
			candidate[i], candidate[i+1] = true, true
		}
	}
	for _, c := range candidate {
		if c {
			asked++
		}
	}
	return p.spans(func(i int) bool { return candidate[i] }), asked
}

// mayMatch says whether a line that matches may be in the block or, where lines
// go on in others, whether the most telling string may be.
func (p *plan) mayMatch(i int, q *Query) bool {
	k := &p.known[i]
	if !k.filtered {
		return true
	}
	sets := q.required
	if !p.alone(i) {
		sets = sets[:min(len(sets), 1)]
	}
	for _, s := range sets {
		if !s.any(func(r *required) bool { return k.MayContain(r.needle) }) {
			return false
		}
	}
	return true
}

func (p *plan) mayStraddle(i int, q *Query) bool {
	k := &p.known[i]
	return !k.filtered || len(q.required) == 0 || q.required[0].any(func(r *required) bool { return k.MayStraddle(r.needle) })
}

func (s set) any(is func(*required) bool) bool {
	for i := range s {
		if is(&s[i]) {
			return true
		}
	}
	return false
}

// spans are those of the candidates, with the blocks in which their first and
// last lines begin and end.
func (p *plan) spans(candidate func(int) bool) []span {
	var spans []span
	for i := 0; i < len(p.known); i++ {
		if !candidate(i) {
			continue
		}
		s := span{i, i}
		for s.from > 0 && p.known[s.from-1].open {
			s.from--
			if p.ends(s.from) {
				break
			}
		}
		for p.known[s.to].open {
			s.to++
			if p.ends(s.to) {
				break
			}
		}
		if n := len(spans); n > 0 && (s.from <= spans[n-1].to || s.from == spans[n-1].to+1 && p.known[spans[n-1].to].open) {
			spans[n-1].to = max(spans[n-1].to, s.to)
			continue
		}
		spans = append(spans, s)
	}
	return spans
}

// ends says whether a line ends in the block, for sure.
func (p *plan) ends(i int) bool { return p.known[i].filtered && p.known[i].Lines > 0 }

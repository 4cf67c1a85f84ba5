package logline

import (
	"math/bits"

	"github.com/entroos/entroos/equations"
)

// A series is a sequence of integers that is predicted before it is coded. It
// is first transformed:
const (
	asIs       = iota
	delta      // zigzag first differences
	delta2     // zigzag second differences
	difference // zigzag differences to another column, see aligned

	transforms
)

// and what comes of it is coded as it is, or it is guessed to be what followed
// the last time in the same context: flags tell where this is so, and only the
// others are coded.
const (
	guessNone   = iota
	guessLast   // no context: the one before
	guessOne    // the one before is the context
	guessTwo    // the two before are
	guessColumn // another column's value is
	guessBoth   // the one before and another column's value are
	guessRanked // in several ways, see ranks.go

	guesses
)

// plan is how a series is coded.
type plan struct {
	transform, guess int
	other, context   int // relatives
	sources          sources
}

// memory is what followed in each context.
type memory [1 << 12]uint64

// guesser finds the context of each value.
type guesser struct {
	memory
	how       int
	last, two uint64
	ids       []uint16 // the other column's
}

func (g *guesser) begin(how int, ids []uint16) {
	*g = guesser{how: how, ids: ids}
}

// cell returns what is guessed for value i, to be replaced by what it is.
func (g *guesser) cell(i int) *uint64 {
	switch g.how {
	case guessOne:
		return &g.memory[fold(g.last)]
	case guessTwo:
		return &g.memory[fold(g.last+g.two*seed)]
	case guessColumn:
		return &g.memory[g.ids[i]&4095]
	case guessBoth:
		return &g.memory[(uint64(g.ids[i])^fold(g.last))&4095]
	}
	return &g.memory[0]
}

// fold hashes a value to the width of a context.
func fold(v uint64) uint64 { return v * prime >> 52 }

// relatives are what a series may be predicted from, by number.
type relatives interface {
	// candidates are those to try.
	candidates() []int
	// ids returns a short hash of another's value at each value of the series,
	// numbers the value; nil where there are none.
	ids(other int) []uint16
	numbers(other int) []uint64
	// recent returns the column's numbers and where the value's is among them.
	recent(other int) recent
	// kinds tells the slot of each value.
	kinds() []uint8
}

// transformed returns the series as the plan transforms it, in memory of the
// encoder.
func (e *encoder) transformed(v []uint64, p plan, r relatives, to []uint64) []uint64 {
	switch p.transform {
	case delta, delta2:
		if cap(to) < len(v) {
			to = make([]uint64, len(v))
		}
		e.signed = e.signed[:0]
		for _, x := range v {
			e.signed = append(e.signed, int64(x))
		}
		return equations.ZigzagDelta(to[:len(v)], e.signed, p.transform)
	case difference:
		to = to[:0]
		for i, x := range r.numbers(p.other)[:len(v)] {
			to = append(to, equations.Zigzag(int64(v[i]-x)))
		}
		return to
	}
	return v
}

// sample is how many values of a series plans are compared on.
const sample = 1 << 10

// plan chooses how to code a series by estimating what would come of it.
func (e *encoder) plan(v []uint64, r relatives, indexed bool) (best plan, least uint64) {
	v = v[:min(len(v), sample)]
	least = intsCost(v)
	if len(v) < 4 {
		return best, least
	}
	try := func(p plan) uint64 {
		u := e.transformed(v, p, r, e.trial)
		if p.transform != asIs {
			e.trial = u
		}
		cost := uint64(0)
		if p.guess == guessNone {
			cost = intsCost(u)
		} else {
			var ids []uint16
			if p.guess >= guessColumn {
				if ids = r.ids(p.context); len(ids) < len(v) {
					return least
				}
			}
			cost = e.guessCost(u, p.guess, ids)
		}
		if p.transform != asIs {
			cost += 8 << 8
		}
		if cost < least {
			best, least = p, cost
		}
		return cost
	}
	transform := plan{}
	for _, how := range []int{delta, delta2} {
		try(plan{transform: how})
	}
	if len(v) > few && r != nil {
		for _, c := range r.candidates() {
			if r.numbers(c) != nil {
				try(plan{transform: difference, other: c})
			}
		}
	}
	transform = best
	if len(v) <= 2*few || least < 64<<8 {
		return best, least
	}
	contexts := [2]int{-1, -1} // the best columns
	for {
		costs := [2]uint64{^uint64(0), ^uint64(0)}
		contexts = [2]int{-1, -1}
		for guess := guessLast; guess <= guessTwo; guess++ {
			p := transform
			p.guess = guess
			try(p)
		}
		if r != nil {
			for _, c := range r.candidates() {
				p := transform
				p.guess, p.context = guessColumn, c
				cost := try(p)
				if len(r.ids(c)) < len(v) {
					continue
				}
				if cost < costs[0] {
					costs[0], costs[1] = cost, costs[0]
					contexts[0], contexts[1] = c, contexts[0]
				} else if cost < costs[1] {
					costs[1], contexts[1] = cost, c
				}
			}
			if best.guess == guessColumn {
				p := best
				p.guess = guessBoth
				try(p)
			}
		}
		if transform.transform == asIs {
			break
		}
		transform = plan{}
	}
	if len(v) < 8*few {
		return best, least
	}
	p := plan{guess: guessRanked, sources: noSources}
	p.sources.context, p.sources.other = contexts[0], contexts[1]
	p.sources.equal, p.sources.same = e.equals(v, r)
	if cost := e.rankedCost(v, p, r, indexed); cost+cost/16 < least {
		best, least = p, cost
	}
	return best, least
}

// guessCost estimates, in 256ths of a bit, what a series takes with guesses.
func (e *encoder) guessCost(u []uint64, how int, ids []uint16) uint64 {
	e.guess.begin(how, ids)
	misses := e.missed[:0]
	for i, x := range u {
		c := e.guess.cell(i)
		if *c != x {
			misses = append(misses, x)
			*c = x
		}
		e.guess.two, e.guess.last = e.guess.last, x
	}
	e.missed = misses
	n, m := uint64(len(u)), uint64(len(misses))
	flags := n*log2(n) - m*log2(m) - (n-m)*log2(n-m)
	return flags + intsCost(misses) + 40<<8
}

// series codes a series.
func (e *encoder) series(v []uint64, r relatives, indexed bool) {
	if len(v) == 0 {
		return
	}
	p, _ := e.plan(v, r, indexed)
	e.planned(v, p, r, indexed)
}

func (e *encoder) planned(v []uint64, p plan, r relatives, indexed bool) {
	e.int(p.transform | p.guess<<2)
	if p.transform == difference {
		e.int(p.other)
	}
	u := e.transformed(v, p, r, e.trial)
	if p.transform != asIs {
		e.trial = u
	}
	if p.guess == guessNone {
		e.planes(u)
		return
	}
	if p.guess == guessRanked {
		e.codeRanked(u, p, r, indexed && p.transform == asIs)
		return
	}
	var ids []uint16
	if p.guess >= guessColumn {
		e.int(p.context)
		ids = r.ids(p.context)
	}
	e.guess.begin(p.guess, ids)
	misses, flags := e.missed[:0], e.flags[:0]
	for i, x := range u {
		c := e.guess.cell(i)
		flags = append(flags, *c == x)
		if *c != x {
			misses = append(misses, x)
			*c = x
		}
		e.guess.two, e.guess.last = e.guess.last, x
	}
	e.missed, e.flags = misses, flags
	at := len(e.body)
	e.body = appendFlags(e.body, flags)
	e.int(len(misses))
	e.int(len(e.body) - at)
	e.ints(misses)
}

// series decodes n integers.
func (d *decoder) series(n int, r relatives, indexed bool) ([]uint64, error) {
	if n == 0 {
		return nil, nil
	}
	how, err := d.varint(transforms<<3 | 3)
	if err != nil {
		return nil, err
	}
	p := plan{transform: how & 3, guess: how >> 2}
	if p.guess >= guesses || (r == nil && (p.transform == difference || p.guess == guessColumn || p.guess == guessBoth)) {
		return nil, corrupt("unknown plan of a series")
	}
	if p.transform == difference {
		if p.other, err = d.varint(maxBlock); err != nil {
			return nil, err
		}
	}
	var u []uint64
	if p.guess == guessNone {
		u, err = d.ints(n)
	} else {
		u, err = d.guessed(n, p, r, indexed && p.transform == asIs)
	}
	if err != nil {
		return nil, err
	}
	switch p.transform {
	case delta, delta2:
		if cap(d.signed) < n {
			d.signed = make([]int64, n)
		}
		for i, x := range equations.ZigzagSum(d.signed[:n], u, p.transform) {
			u[i] = uint64(x)
		}
	case difference:
		numbers := r.numbers(p.other)
		if len(numbers) < n {
			return nil, corrupt("difference to what has no numbers")
		}
		for i, x := range numbers[:n] {
			u[i] = uint64(equations.Unzigzag(u[i])) + x
		}
	}
	return u, nil
}

func (d *decoder) guessed(n int, p plan, r relatives, indexed bool) ([]uint64, error) {
	var ids []uint16
	var err error
	if p.guess == guessRanked {
		for _, c := range p.sources.all() {
			if *c, err = d.varint(maxBlock); err != nil {
				return nil, err
			}
			*c--
		}
		if r == nil && p.sources != noSources {
			return nil, corrupt("context without values")
		}
	} else if p.guess >= guessColumn {
		if p.context, err = d.varint(maxBlock); err != nil {
			return nil, err
		}
		if ids = r.ids(p.context); len(ids) < n {
			return nil, corrupt("context without values")
		}
	}
	missed, err := d.varint(n)
	if err != nil {
		return nil, err
	}
	size, err := d.varint(maxBlock)
	if err != nil {
		return nil, err
	}
	b, err := d.take(size)
	if err != nil {
		return nil, err
	}
	misses, err := d.ints(missed)
	if err != nil {
		return nil, err
	}
	if p.guess == guessRanked {
		u := make([]uint64, n)
		if !d.ranks.begin(p.sources, r, n) {
			return nil, corrupt("context without values")
		}
		return u, d.ranked(u, b, misses, indexed)
	}
	flags := newFlagHistory(b)
	d.guess.begin(p.guess, ids)
	u := make([]uint64, n)
	for i := range u {
		c := d.guess.cell(i)
		if !flags.get() {
			if len(misses) == 0 {
				return nil, corrupt("more misses than declared")
			}
			*c = misses[0]
			misses = misses[1:]
		}
		u[i] = *c
		d.guess.two, d.guess.last = d.guess.last, u[i]
	}
	if len(misses) > 0 || flags.over() {
		return nil, corrupt("fewer misses than declared")
	}
	return u, nil
}

// identify returns short hashes of numbers, for contexts.
func identify(ids []uint16, numbers []uint64) []uint16 {
	for _, v := range numbers {
		ids = append(ids, uint16(fold(v^uint64(bits.Len64(v))<<56)))
	}
	return ids
}

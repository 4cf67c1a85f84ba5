package dense

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/entroos/entroos/morphzip/mixing"
)

const (
	// ownValues is how many values make a model of its own worthwhile.
	ownValues = 200
	// chooserValues bounds the values of a stream that contexts are measured by,
	// chooserStreams the streams that contexts may speak of.
	chooserValues  = 2000
	chooserStreams = 40
)

// choose makes the plan of each stream from what was recorded.
func (w *walker) choose() {
	r := w.recorder
	busy := make([]int, len(w.streams))
	for i := range busy {
		busy[i] = i
	}
	slices.SortStableFunc(busy, func(a, b int) int { return cmp.Compare(r.facts[b].count, r.facts[a].count) })
	models := 0
	chooser := chooser{w: w, r: r, recalls: map[term]bool{}}
	for _, i := range busy {
		f := &r.facts[i]
		if f.count > 0 && f.differ && len(chooser.sources) < chooserStreams {
			chooser.sources = append(chooser.sources, i)
		}
	}
	for _, i := range busy {
		s, f := &w.streams[i], &r.facts[i]
		if from, ok := f.best(min(f.distinctOr(), textSamples)); ok {
			s.textFrom, s.quoted = int(from.stream), from.quoted
		}
		s.digits = f.sampled.random()
		switch {
		case s.transform == silent:
		case !f.differ && !(s.transform == index && f.first != 0):
			s.transform, s.base = constant, f.first
		case f.count < ownValues || models == maxModels-1:
			if s.transform == plain && !s.rows {
				s.transform = chooser.simple(i)
			}
		default:
			s.own = true
			models++
			chooser.plan(i)
		}
	}
}

// chosenContexts is how many contexts a model has.
func (w *walker) chosenContexts() int {
	if w.effort > LeastEffort {
		return maxContexts
	}
	return 8
}

// distinctOr returns how many entries a column has, or else values.
func (f *facts) distinctOr() int {
	if f.distinct > 0 {
		return f.distinct
	}
	return f.count
}

// chooser measures what streams are best predicted from.
type chooser struct {
	w       *walker
	r       *recorder
	sources []int // streams that contexts may speak of, the busiest first
	memory  [1 << 12]memory
	recalls map[term]bool // that contexts chosen so far speak of
}

// memory is what a context had last, and how often in a row.
type memory struct {
	number uint32
	length uint8
	same   uint8
	seen   bool
}

// matrix holds, for each value of a stream, what terms said before it.
type matrix struct {
	terms  []term
	said   [][]uint32 // of each term
	values []uint64
	others [][]uint64 // of each source
}

// collect makes the matrix of a stream.
func (c *chooser) collect(target int, terms []term) *matrix {
	m := &matrix{terms: terms, said: make([][]uint32, len(terms)), others: make([][]uint64, len(c.sources))}
	streams := c.w.streams
	value, before := make([]uint64, len(streams)), make([]uint64, len(streams))
	memories := map[[2]uint16]*recalled{}
	updates := make([][]*recalled, len(streams))
	for _, t := range terms {
		if t.kind == recall && memories[[2]uint16{t.a, t.b}] == nil {
			r := &recalled{a: t.a, b: t.b}
			memories[[2]uint16{t.a, t.b}] = r
			updates[t.b] = append(updates[t.b], r)
		}
	}
	of := make([]*recalled, len(terms))
	for i, t := range terms {
		of[i] = memories[[2]uint16{t.a, t.b}]
	}
	skip := 0
	if n := c.r.facts[target].count; n > 0 {
		// The sample's first values say less: no context has been seen.
		skip = 0
	}
	for i := range c.r.events {
		e := &c.r.events[i]
		if int(e.stream) == target {
			if skip--; skip < 0 {
				for k, t := range terms {
					u := uint32(0)
					switch t.kind {
					case latest:
						u = fold(value[t.a])
					case earlier:
						u = fold(before[t.a])
					case place:
						u = e.place
					case recall:
						u = *of[k].at(value[t.a])
					}
					m.said[k] = append(m.said[k], u)
				}
				for k, j := range c.sources {
					m.others[k] = append(m.others[k], value[j])
				}
				m.values = append(m.values, e.value)
				if len(m.values) == chooserValues {
					break
				}
			}
		}
		before[e.stream], value[e.stream] = value[e.stream], e.value
		for _, r := range updates[e.stream] {
			*r.at(value[r.a]) = fold(e.value)
		}
	}
	return m
}

// numbers returns what is coded for a stream's values under a transform.
func (m *matrix) numbers(t transform, other int) []uint64 {
	out := make([]uint64, len(m.values))
	var last, before, versed, count uint64
	list := map[uint64]uint64{}
	for i, v := range m.values {
		predicted := uint64(0)
		switch t {
		case listed:
			out[i] = list[v]
			if out[i] == 0 && len(list) < maxListed {
				list[v] = uint64(len(list)) + 1
			}
			continue
		case delta:
			predicted = last
		case delta2:
			predicted = 2*last - before
		case versus:
			predicted = m.others[other][i]
		case drift:
			predicted = m.others[other][i] + last - versed
			versed = m.others[other][i]
		}
		out[i] = t.reduce(v, predicted, count)
		before, last = last, v
		count = max(count, v+1)
	}
	return out
}

// simple chooses the transform of a stream without a model of its own.
func (c *chooser) simple(i int) transform {
	m := c.collect(i, nil)
	best, least := plain, uint64(1)<<62
	for _, t := range []transform{plain, delta, delta2} {
		sum := uint64(0)
		for _, n := range m.numbers(t, 0) {
			sum += uint64(bits.Len64(n))
		}
		if sum < least {
			best, least = t, sum
		}
	}
	return best
}

// plan chooses the transform and the contexts of a stream.
func (c *chooser) plan(i int) {
	s := &c.w.streams[i]
	a := uint16(i)
	terms := []term{{kind: place}, {kind: latest, a: a}, {kind: earlier, a: a}}
	for _, j := range c.sources {
		if j != i {
			terms = append(terms, term{kind: latest, a: uint16(j)})
		}
	}
	for _, j := range c.sources {
		if c.r.facts[j].count*4 >= c.r.facts[i].count && j != i && len(terms) < 60 {
			terms = append(terms, term{kind: earlier, a: uint16(j)})
		}
	}
	m := c.collect(i, terms)
	entities := c.entities(m)
	for _, k := range entities {
		for _, j := range c.sources {
			if j != k && len(terms) < 140 {
				terms = append(terms, term{kind: recall, a: uint16(k), b: uint16(j)})
			}
		}
	}
	if len(entities) > 0 {
		m = c.collect(i, terms)
	}
	numbers := c.transform(s, m)
	c.contexts(s, m, numbers)
	c.copied(s, m, numbers)
}

// entities returns the streams that seem to name things that other values belong
// to: neither few of them nor always new ones.
func (c *chooser) entities(m *matrix) []int {
	var found []int
	for k, j := range c.sources {
		values := slices.Clone(m.others[k])
		slices.Sort(values)
		n := len(slices.Compact(values))
		if n >= 4 && n*3 < len(m.values) && len(found) < 4 {
			found = append(found, j)
		}
	}
	return found
}

// transform chooses a stream's, and returns the numbers that it leads to.
func (c *chooser) transform(s *stream, m *matrix) []uint64 {
	if s.transform == index {
		return m.numbers(index, 0)
	}
	if s.rows {
		return m.numbers(plain, 0)
	}
	cost := make([]uint32, len(m.values))
	hash := make([]uint32, len(m.values))
	least := uint64(1) << 62
	var best []uint64
	try := func(t transform, other, versus int, terms int) {
		numbers := m.numbers(t, other)
		sum := c.cost(numbers, hash[:0], cost)
		for k := range min(terms, len(m.terms)) {
			sum = min(sum, c.cost(numbers, m.said[k], cost))
		}
		own := make([]uint32, len(numbers))
		for i := 1; i < len(numbers); i++ {
			own[i] = fold(numbers[i-1])
		}
		sum = min(sum, c.cost(numbers, own, cost))
		if t == listed {
			for i, n := range numbers {
				if n == 0 {
					sum += 16 * uint64(bits.Len64(m.values[i])+4)
				}
			}
		}
		if sum < least {
			least, best = sum, numbers
			s.plan.transform, s.plan.versus = t, versus
		}
	}
	all := len(m.terms)
	try(plain, 0, 0, all)
	try(listed, 0, 0, all)
	try(delta, 0, 0, min(all, 8))
	try(delta2, 0, 0, 3)
	for k, j := range c.sources {
		if j != int(s.id) && c.r.facts[j].differ && c.w.streams[j].leaf == nil {
			try(versus, k, j, 3)
			try(drift, k, j, 3)
		}
	}
	return best
}

// cost estimates, for each number, what it costs in 1/16 bits when a context
// with these hashes (none: the same one always) tells what came last, and
// returns the sum.
func (c *chooser) cost(numbers []uint64, hashes []uint32, cost []uint32) uint64 {
	clear(c.memory[:])
	var hit [16][2]uint32 // by how often in a row
	var classes [66][65]uint16
	var total [66]uint32
	for i := range hit {
		hit[i] = [2]uint32{2, 2}
	}
	sum := uint64(0)
	for i, n := range numbers {
		h := uint32(0)
		if len(hashes) > 0 {
			h = hashes[i] * 0x9E3779B1
			h ^= h >> 15
		}
		e := &c.memory[h*0x2C1B3C6D>>20]
		u, length := fold(n), uint8(bits.Len64(n))
		k := min(e.same, 14) + 1
		from := e.length
		if !e.seen {
			k, from = 0, 65
		}
		f := &hit[k]
		bit := 0
		// Each bit takes time, too.
		price := uint32(1)
		if length > 1 {
			price = uint32(min(length, 8))
		}
		if e.seen && e.number == u {
			bit = 1
			e.same++
			if e.same == 0 {
				e.same = 255
			}
		} else {
			e.same = 0
			row := &classes[from]
			price += log2(total[from]+65) - log2(uint32(row[length])+1) + 16*uint32(max(int(length)-1, 0))
		}
		classes[from][length] += 16
		total[from] += 16
		if total[from] > 1<<15 {
			total[from] = 0
			for j := range classes[from] {
				classes[from][j] /= 2
				total[from] += uint32(classes[from][j])
			}
		}
		if e.seen {
			price += log2(f[0]+f[1]) - log2(f[bit])
			f[bit] += 2
		}
		e.number, e.length, e.seen = u, length, true
		cost[i] = price
		sum += uint64(price)
	}
	return sum
}

// log2 returns the logarithm of x to base 2, in 1/16.
func log2(x uint32) uint32 {
	n := uint32(bits.Len32(x)) - 1
	return n*16 + uint32(fractions[(x<<(31-n))>>27&15])
}

// fractions holds log2(1 + (i+1/2)/16) in 1/16.
var fractions = [16]uint8{1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 12, 13, 14, 15, 16}

// contexts chooses those that together cost least, one after the other.
func (c *chooser) contexts(s *stream, m *matrix, numbers []uint64) {
	n := len(numbers)
	own := make([]uint32, n)
	for i := 1; i < n; i++ {
		own[i] = fold(numbers[i-1])
	}
	m.terms = append(m.terms, term{kind: residual, a: uint16(s.id)})
	m.said = append(m.said, own)
	type candidate struct {
		context
		cost []uint32
		sum  uint64
	}
	var pool []candidate
	hash := make([]uint32, n)
	add := func(terms ...int) {
		var x context
		for i := range hash {
			hash[i] = 0
		}
		for j, k := range terms {
			x[j] = m.terms[k]
			for i, u := range m.said[k] {
				hash[i] = mixing.Hash(hash[i], u)
			}
		}
		cost := make([]uint32, n)
		sum := c.cost(numbers, hash, cost)
		pool = append(pool, candidate{x, cost, sum})
	}
	add()
	order := make([]int, len(m.terms))
	for k := range m.terms {
		add(k)
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(pool[a+1].sum, pool[b+1].sum) })
	top := order[:min(len(order), 6)]
	for i, k := range top {
		for _, l := range order[:min(len(order), 16)] {
			if l != k && (i == 0 || !slices.Contains(top[:i], l)) {
				add(k, l)
			}
		}
	}
	for _, l := range order[2:min(len(order), 12)] {
		add(top[0], top[1], l)
	}
	// The empty context, and then what helps most where those chosen fail.
	have := slices.Clone(pool[0].cost)
	s.contexts = append(s.contexts[:0], pool[0].context)
	used := make([]bool, len(pool))
	used[0] = true
	for len(s.contexts) < c.w.chosenContexts() {
		best, least := -1, uint64(1)<<62
		for k := range pool {
			if used[k] || !c.affords(pool[k].context) {
				continue
			}
			sum := uint64(0)
			for i, p := range pool[k].cost {
				low, high := p, have[i]
				if low > high {
					low, high = high, low
				}
				sum += uint64(7*low + high)
			}
			if sum < least {
				best, least = k, sum
			}
		}
		if best < 0 {
			break
		}
		used[best] = true
		for i, p := range pool[best].cost {
			low, high := p, have[i]
			if low > high {
				low, high = high, low
			}
			have[i] = (7*low + high) / 8
		}
		s.contexts = append(s.contexts, pool[best].context)
		for _, t := range pool[best].context {
			if t.kind == recall {
				c.recalls[t] = true
			}
		}
	}
}

// affords tells whether there is memory for what the context recalls.
func (c *chooser) affords(x context) bool {
	news := 0
	for _, t := range x {
		if t.kind == recall && !c.recalls[t] {
			news++
		}
	}
	return len(c.recalls)+news <= maxRecalls
}

// copied chooses the stream whose latest value is most often the next one, where
// the numbers to code do not tell.
func (c *chooser) copied(s *stream, m *matrix, numbers []uint64) {
	most := len(numbers) / 32
	for k, j := range c.sources {
		if c.w.streams[j].leaf != nil && c.w.streams[j].transform == silent {
			continue
		}
		hits := 0
		for i, v := range m.values {
			if m.others[k][i] == v && numbers[i] > 2 {
				hits++
			}
		}
		if hits > most {
			most = hits
			s.copied = j
		}
	}
}

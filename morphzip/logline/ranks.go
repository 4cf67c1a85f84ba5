package logline

// guessRanked guesses each value in several ways, and asks first the ones that
// were right most often for values of the same slot. Flags tell whether the
// first is right, else the second, else the third; what none guessed is coded.

// The ways to guess.
const (
	wayLast        = iota // the value before
	waySecond             // the one before that
	wayThird              // and the one before that
	waySlot               // the last in the same slot
	wayStep               // the value before and the step that the slot had last
	wayOne                // what followed the value before
	wayTwo                // what followed the two before
	wayContext            // what came with the first context's value
	wayOther              // what came with the second context's value
	wayEqual              // the first column's number
	wayEqualSecond        // the one before that
	wayEqualThird         // and the one before that
	waySame               // the second column's number
	waySameSecond         // the one before that
	waySameThird          // and the one before that

	ways
)

const (
	asked     = 3  // how many are asked
	slotKinds = 64 // of slots, by hash
	leastRank = 12 // the score, of 255, that a way needs to be asked
)

// ranker guesses.
type ranker struct {
	one, two, context, other memory
	scores                   [slotKinds][ways]uint8
	best                     [slotKinds]int8 // the way with the highest score, −1 is none
	slots, steps             [slotKinds]uint64
	last                     [3]uint64
	guess                    [ways]uint64
	recent                   uint8 // the last two values' ranks: whether the first guess was right
	slot                     uint8

	kinds         []uint8 // each value's slot
	first, second []uint16
	equal, same   recent
	cells         [4]*uint64
}

// sources are the columns that a ranker looks at; −1 is none.
type sources struct{ context, other, equal, same int }

var noSources = sources{-1, -1, -1, -1}

func (s *sources) all() [4]*int { return [4]*int{&s.context, &s.other, &s.equal, &s.same} }

// equals finds the two columns whose numbers are most often the series' own;
// −1 is none.
func (e *encoder) equals(v []uint64, r relatives) (first, second int) {
	first, second = -1, -1
	if r == nil {
		return first, second
	}
	most, more := len(v)/64, len(v)/64
	for _, c := range r.candidates() {
		numbers := r.recent(c)
		if len(numbers.at) < len(v) {
			continue
		}
		n := 0
		var guess [3]uint64
		for i, x := range v {
			if numbers.fill(guess[:], i); guess[0] == x || guess[1] == x || guess[2] == x {
				n++
			}
		}
		if n > most {
			most, more, first, second = n, most, c, first
		} else if n > more {
			more, second = n, c
		}
	}
	return first, second
}

// recent are the numbers of another column, and where the one is that belongs to
// each value: the same row's or the last before it.
type recent struct {
	numbers []uint64
	at      []int32 // −1 is none
	unit    uint64  // what the numbers are multiplied by
}

// fill gives that number for value i, the one before it and the one before that.
func (n *recent) fill(to []uint64, i int) {
	at := int(n.at[i])
	for k := range to[:3] {
		to[k] = 0
		if at-k >= 0 {
			to[k] = n.numbers[at-k] * n.unit
		}
	}
}

// one gives the number k before that for value i.
func (n *recent) one(i, k int) uint64 {
	at := int(n.at[i]) - k
	if at < 0 {
		return 0
	}
	return n.numbers[at] * n.unit
}

// rankedCost estimates, in 256ths of a bit, what a series takes.
func (e *encoder) rankedCost(u []uint64, p plan, r relatives, indexed bool) uint64 {
	if !e.ranks.begin(p.sources, r, len(u)) {
		return ^uint64(0) >> 1
	}
	b, misses := e.ranked(e.extra[:0], u, indexed)
	e.extra = b
	return uint64(len(b))<<11 + intsCost(misses) + 40<<8
}

// codeRanked codes a series.
func (e *encoder) codeRanked(u []uint64, p plan, r relatives, indexed bool) {
	for _, c := range p.sources.all() {
		e.int(*c + 1)
	}
	e.ranks.begin(p.sources, r, len(u))
	at := len(e.body)
	body, misses := e.ranked(e.body, u, indexed)
	e.body = body
	e.int(len(misses))
	e.int(len(e.body) - at)
	e.ints(misses)
}

func (g *ranker) begin(s sources, r relatives, n int) bool {
	g.one, g.two = memory{}, memory{}
	if s.context >= 0 {
		g.context = memory{}
	}
	if s.other >= 0 {
		g.other = memory{}
	}
	for k := range g.scores {
		for w := range g.scores[k] {
			g.scores[k][w] = 64
		}
		g.best[k], g.slots[k], g.steps[k] = wayLast, 0, 0
	}
	g.last, g.guess, g.recent = [3]uint64{}, [ways]uint64{}, 0
	g.kinds, g.first, g.second, g.equal, g.same = nil, nil, nil, recent{}, recent{}
	if r == nil {
		return true
	}
	if g.kinds = r.kinds(); len(g.kinds) < n {
		g.kinds = nil
	}
	ok := true
	ids := func(c int) []uint16 {
		if c < 0 {
			return nil
		}
		v := r.ids(c)
		ok = ok && len(v) >= n
		return v
	}
	numbers := func(c int) recent {
		if c < 0 {
			return recent{}
		}
		v := r.recent(c)
		ok = ok && len(v.at) >= n
		return v
	}
	g.first, g.second, g.equal, g.same = ids(s.context), ids(s.other), numbers(s.equal), numbers(s.same)
	return ok
}

// prepare finds what value i has to do with.
func (g *ranker) prepare(i int) {
	g.slot = 0
	if g.kinds != nil {
		g.slot = g.kinds[i] & (slotKinds - 1)
	}
	slot := uint64(g.slot)
	g.cells[0] = &g.one[fold(g.last[0]+slot)]
	g.cells[1] = &g.two[fold(g.last[0]+g.last[1]*seed+slot)]
	if g.first != nil {
		g.cells[2] = &g.context[fold(uint64(g.first[i])+slot<<16)]
	}
	if g.second != nil {
		g.cells[3] = &g.other[fold(uint64(g.second[i])+slot<<16)]
	}
}

// fill makes the guesses for value i.
func (g *ranker) fill(i int) {
	g.guess[wayLast], g.guess[waySecond], g.guess[wayThird] = g.last[0], g.last[1], g.last[2]
	g.guess[waySlot] = g.slots[g.slot]
	g.guess[wayStep] = g.last[0] + g.steps[g.slot]
	g.guess[wayOne], g.guess[wayTwo] = *g.cells[0], *g.cells[1]
	if g.first != nil {
		g.guess[wayContext] = *g.cells[2]
	}
	if g.second != nil {
		g.guess[wayOther] = *g.cells[3]
	}
	if g.equal.at != nil {
		g.equal.fill(g.guess[wayEqual:waySame], i)
	}
	if g.same.at != nil {
		g.same.fill(g.guess[waySame:], i)
	}
}

// only makes one guess for value i.
func (g *ranker) only(way, i int) uint64 {
	switch way {
	case wayLast, waySecond, wayThird:
		return g.last[way-wayLast]
	case waySlot:
		return g.slots[g.slot]
	case wayStep:
		return g.last[0] + g.steps[g.slot]
	case wayOne:
		return *g.cells[0]
	case wayTwo:
		return *g.cells[1]
	case wayContext:
		if g.first != nil {
			return *g.cells[2]
		}
	case wayOther:
		if g.second != nil {
			return *g.cells[3]
		}
	case wayEqual, wayEqualSecond, wayEqualThird:
		if g.equal.at != nil {
			return g.equal.one(i, way-wayEqual)
		}
	case waySame, waySameSecond, waySameThird:
		if g.same.at != nil {
			return g.same.one(i, way-waySame)
		}
	}
	return 0
}

// foremost returns the way with the highest score, or −1, and the context of its
// flag.
func (g *ranker) foremost() (way int, context int) {
	if way = int(g.best[g.slot]); way < 0 {
		return way, 0
	}
	return way, int(g.scores[g.slot][way]>>4)*4 + int(g.recent)
}

// next returns the best way whose guess was not asked yet, or −1, and the
// context of its flag.
func (g *ranker) next(tried *[asked]uint64, n int) (way int, context int) {
	scores := &g.scores[g.slot]
	best, way := uint8(leastRank), -1
search:
	for w := range scores {
		if scores[w] <= best {
			continue
		}
		for _, v := range tried[:n] {
			if v == g.guess[w] {
				continue search
			}
		}
		best, way = scores[w], w
	}
	return way, (n*16+int(best>>4))*4 + int(g.recent)
}

// right takes a value that was the first guess: only that way's score grows.
func (g *ranker) right(v uint64, way int) {
	s := &g.scores[g.slot][way]
	*s += (255 - *s) >> 3
	g.remember(v)
	g.recent = g.recent<<1&3 | 1
}

// learn takes a value that was not the first guess: each way's score changes.
func (g *ranker) learn(v uint64) {
	scores := &g.scores[g.slot]
	most, best := uint8(leastRank), int8(-1)
	for w, s := range scores {
		if g.guess[w] == v {
			s += (255 - s) >> 3
		} else {
			s -= s >> 3
		}
		scores[w] = s
		if s > most {
			most, best = s, int8(w)
		}
	}
	g.best[g.slot] = best
	g.remember(v)
	g.recent = g.recent << 1 & 3
}

func (g *ranker) remember(v uint64) {
	*g.cells[0], *g.cells[1] = v, v
	if g.first != nil {
		*g.cells[2] = v
	}
	if g.second != nil {
		*g.cells[3] = v
	}
	g.slots[g.slot], g.steps[g.slot] = v, v-g.last[0]
	g.last[2], g.last[1], g.last[0] = g.last[1], g.last[0], v
}

// ranked codes a series' values that were guessed as flags, and returns the
// others. indexed says that a 0 is the next of the values from 1 on.
func (e *encoder) ranked(to []byte, u []uint64, indexed bool) (out []byte, misses []uint64) {
	g := &e.ranks
	w := newFlagWriter(to)
	misses = e.missed[:0]
	next := uint64(0)
	for i, x := range u {
		v := x
		if indexed && x == 0 {
			next++
			v = next
		}
		g.prepare(i)
		var tried [asked]uint64
		found, n := false, 0
		if way, context := g.foremost(); way >= 0 {
			tried[0], n = g.only(way, i), 1
			found = tried[0] == v && (!indexed || x != 0)
			w.put(context, found)
			if found {
				g.right(v, way)
				continue
			}
		}
		g.fill(i)
		for n < asked && !found {
			way, context := g.next(&tried, n)
			if way < 0 {
				break
			}
			found = g.guess[way] == v && (!indexed || x != 0)
			w.put(context, found)
			tried[n] = g.guess[way]
			n++
		}
		if !found {
			misses = append(misses, x)
		}
		g.learn(v)
	}
	e.missed = misses
	return w.flush(), misses
}

// ranked is the inverse of the encoder's.
func (d *decoder) ranked(u []uint64, flags []byte, misses []uint64, indexed bool) error {
	g := &d.ranks
	r := newFlagReader(flags)
	next := uint64(0)
	for i := range u {
		g.prepare(i)
		var tried [asked]uint64
		found, n := false, 0
		v := uint64(0)
		if way, context := g.foremost(); way >= 0 {
			v, n = g.only(way, i), 1
			if r.get(context) {
				u[i] = v
				g.right(v, way)
				continue
			}
			tried[0] = v
		}
		g.fill(i)
		for n < asked && !found {
			way, context := g.next(&tried, n)
			if way < 0 {
				break
			}
			v = g.guess[way]
			found = r.get(context)
			tried[n] = v
			n++
		}
		u[i] = v
		if !found {
			if len(misses) == 0 {
				return corrupt("more misses than declared")
			}
			v = misses[0]
			u[i] = v
			misses = misses[1:]
			if indexed && v == 0 {
				next++
				v = next
			}
		}
		g.learn(v)
	}
	if len(misses) > 0 || r.over() {
		return corrupt("fewer misses than declared")
	}
	return nil
}

package densest

import "slices"

// idModel codes which template a row has, from those of the rows before.
type idModel struct {
	fresh     *predictor
	high, low *predictor
	history   []uint16
	heads     []int32 // where in the history the ids hashed to this stood last
	expect    int
	length    int
}

const idContexts = 12

func newIDModel(t *table, bits int) *idModel {
	r := defaultRates
	r.first = 400
	return &idModel{
		fresh: newPredictor(t, shape{hashed: 6, selectors: []int{1, 2}, final: 1, apm: []int{1}, rate: r}),
		high:  newPredictor(t, shape{hashed: idContexts, direct: []int{64}, selectors: []int{1, 16}, final: 1, apm: []int{1}, rate: r, bytewise: true}),
		low:   newPredictor(t, shape{hashed: idContexts, direct: []int{64}, selectors: []int{1, 16, 256}, final: 1, apm: []int{1, 256}, rate: r, bytewise: true}),
		heads: make([]int32, 1<<bits),
	}
}

func (d *idModel) contexts(l *lineState, salt uint64) [idContexts]uint64 {
	i := l.ids
	at := func(k int) uint64 { return uint64(i[k]) + 1 }
	h := salt
	var c [idContexts]uint64
	c[0] = h
	h = mixHash(h, at(0))
	c[1] = h
	h = mixHash(h, at(1))
	c[2] = h
	h = mixHash(h, at(2))
	c[3] = h
	h = mixHash(h, at(3))
	c[4] = h
	h = mixHash(h, at(4))
	c[5] = mixHash(h, at(5))
	c[6] = mixHash(salt, at(1)<<20)
	c[7] = mixHash(mixHash(salt, at(1)<<21), at(2))
	c[8] = mixHash(salt, at(2)<<24)
	c[9] = mixHash(mixHash(salt, at(0)), at(2)<<20)
	c[10] = mixHash(mixHash(salt, at(0)), l.symbols)
	set := uint64(0)
	for k := range 4 {
		set += mixHash(7, at(k))
	}
	c[11] = mixHash(salt, set)
	return c
}

func (d *idModel) code(c *coder, l *lineState, id, known int) int {
	// Is it new?
	f := d.fresh
	f.context(0, 1)
	f.context(1, uint64(l.ids[0])+1000)
	newness := uint64(0)
	for k := range l.ids {
		newness <<= 1
		if l.ids[k] >= known-1-k {
			newness |= 1
		}
	}
	f.context(2, newness+1<<30)
	f.context(3, mixHash(uint64(l.ids[0]), uint64(l.ids[1]))+5)
	n := uint64(0)
	for 1<<n < l.row+1 {
		n++
	}
	f.context(4, n+1<<20)
	f.context(5, mixHash(n, newness&7))
	f.sel[1] = int(newness >> 5)
	y := 0
	if id == known {
		y = 1
	}
	if f.code(c, y) != 0 {
		d.add(known)
		return known
	}
	hi, lo := id>>8, id&255
	// The longest match in the history of ids.
	bucket := min(d.length, 15)
	codeByte := func(p *predictor, salt uint64, v, expected int, on bool) int {
		cs := d.contexts(l, salt)
		return int(p.codeByte(c, cs[:], byte(v), func(out, shift int) {
			p.directAt[0] = -1
			p.sel[1] = 0
			if on && bucket > 0 && (expected|256)>>(shift+1) == out {
				p.directAt[0] = bucket*2 + expected>>shift&1
				p.sel[1] = bucket
			}
			if len(p.sel) > 3 {
				p.sel[2] = out & 255
				p.apmAt[1] = out & 255
			}
		}))
	}
	if known > 256 {
		hi = codeByte(d.high, 1, hi, d.expect>>8, d.length > 0)
	} else {
		hi = 0
	}
	lo = codeByte(d.low, 2+uint64(hi)<<8, lo, d.expect&255, d.length > 0 && d.expect>>8 == hi)
	id = hi<<8 | lo
	d.add(id)
	return id
}

// add notes the id, and finds what followed the longest like sequence.
func (d *idModel) add(id int) {
	d.history = append(d.history, uint16(id))
	n := len(d.history)
	if d.length > 0 && d.expect != id {
		d.length = 0
	}
	if d.length > 0 {
		d.length++
	}
	at := 0
	for order := 6; order >= 2; order-- {
		if n < order {
			continue
		}
		h := uint64(order)
		for k := range order {
			h = mixHash(h, uint64(d.history[n-1-k]))
		}
		head := &d.heads[h&uint64(len(d.heads)-1)]
		// Where two orders' hashes collide it is n, behind which nothing is yet.
		if q := int(*head); at == 0 && q >= order && q < n && slices.Equal(d.history[q-order:q], d.history[n-order:]) {
			at = q
			d.length = max(d.length, order)
		}
		*head = int32(n)
	}
	if at == 0 {
		d.length = 0
		return
	}
	d.expect = int(d.history[at])
}

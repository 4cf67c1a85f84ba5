package logline

import (
	"bytes"
	"slices"
)

// Split takes a block of lines apart. Whatever the bytes, Join of the table
// gives them back. The table refers to the block, which must not change as long
// as the table is used.
func Split(block []byte) *Table { return new(splitter).split(block) }

// line is a line without its '\n', and its tokens.
type line struct {
	start, end    uint32
	first, tokens uint32
	variant       int32
}

// variant are lines of the same types and fixed tokens.
type variant struct {
	shape    int32
	next     int32 // of the shape, −1 is the end
	line     uint32
	rows     uint32
	template int32
}

// shape are variants of the same types.
type shape struct {
	first, variants int32
	rows            uint32
}

// splitter is the state of Split, to be used again.
type splitter struct {
	scanner
	depth    int
	block    []byte
	lines    []line
	variants []variant
	shapes   []shape
	byHash   map[uint64]int32 // variants
	byTypes  map[uint64]int32 // shapes
	builder
}

// split is Split; the table lives until it is called again.
func (s *splitter) split(block []byte) *Table {
	s.begin(block)
	for start := 0; start < len(block); {
		end := len(block)
		if n := bytes.IndexByte(block[start:], '\n'); n >= 0 {
			end = start + n
		}
		s.line(start, end)
		start = end + 1
	}
	t := s.table()
	t.Unterminated = len(block) > 0 && block[len(block)-1] != '\n'
	return t
}

// entries takes strings apart, as lines.
func (s *splitter) entries(strings *Strings, fine bool, depth int) *Table {
	s.begin(strings.Bytes)
	s.fine, s.depth = fine, depth
	start := 0
	for _, end := range strings.Ends {
		s.line(start, int(end))
		start = int(end)
	}
	return s.table()
}

func (s *splitter) begin(block []byte) {
	s.block, s.fine, s.depth = block, false, 0
	s.last = [openings]int8{}
	s.tokens, s.lines = s.tokens[:0], s.lines[:0]
	s.variants, s.shapes = s.variants[:0], s.shapes[:0]
	if s.byHash == nil {
		s.byHash, s.byTypes = map[uint64]int32{}, map[uint64]int32{}
	}
	clear(s.byHash)
	clear(s.byTypes)
}

// line takes a line into tokens and finds its variant; −1 is that it was not
// looked into.
func (s *splitter) line(start, end int) {
	l := line{start: uint32(start), end: uint32(end), first: uint32(len(s.tokens)), variant: -1}
	if end-start <= maxLine && !unprintable(s.block[start:end]) {
		h := s.scan(s.block, start, end)
		l.tokens = uint32(len(s.tokens)) - l.first
		v, ok := s.byHash[h.variant]
		if !ok {
			v = s.variant(h, uint32(len(s.lines)))
		}
		s.variants[v].rows++
		s.shapes[s.variants[v].shape].rows++
		l.variant = v
	}
	s.lines = append(s.lines, l)
}

// unprintable tells whether a line holds bytes that text does not: its beginning is
// looked at.
func unprintable(b []byte) bool {
	for _, c := range b[:min(len(b), 64)] {
		if c < ' ' && c != '\t' && c != '\r' && c != '\x1b' {
			return true
		}
	}
	return false
}

func (s *splitter) variant(h skeleton, number uint32) int32 {
	of, ok := s.byTypes[h.types]
	if !ok {
		of = int32(len(s.shapes))
		s.byTypes[h.types] = of
		s.shapes = append(s.shapes, shape{first: -1})
	}
	v := int32(len(s.variants))
	s.byHash[h.variant] = v
	s.variants = append(s.variants, variant{shape: of, next: s.shapes[of].first, line: number})
	s.shapes[of].first = v
	s.shapes[of].variants++
	return v
}

func (s *splitter) tokensOf(l *line) []token { return s.tokens[l.first : l.first+l.tokens] }

// templates brings the variants of each shape together as templates: all of
// them, or, where they are many for their rows, those that differ only at the
// tokens that vary most.
func (s *splitter) templates() {
	s.drafts = s.drafts[:0]
	for i := range s.shapes {
		sh := &s.shapes[i]
		if sh.variants == 1 {
			s.variants[sh.first].template = s.draft(sh.first)
			continue
		}
		s.merge(sh)
	}
}

// group are variants that become one template.
type group struct {
	words    []uint64 // fixed tokens, 0 for others
	rows     uint32
	template int32
	into     int // the group that it became part of, or itself
}

// small is how many rows a template should have, at least.
const small = 16

// merge brings a shape's variants together.
func (s *splitter) merge(sh *shape) {
	members := make([]int32, sh.variants)
	for v, i := sh.first, len(members)-1; v >= 0; v, i = s.variants[v].next, i-1 {
		members[i] = v
	}
	width := int(s.lines[s.variants[members[0]].line].tokens)
	words := make([]uint64, len(members)*width)
	for m, v := range members {
		for p, t := range s.tokensOf(&s.lines[s.variants[v].line]) {
			if p < width && t.fixed {
				words[m*width+p] = t.value | 1
			}
		}
	}
	varies := varying(words, width, max(2, int(sh.rows)/32))
	byHash := map[uint64]int{}
	var groups []group
	of := make([]int, len(members)) // the group of each
	for m, v := range members {
		w := words[m*width:][:width]
		h := groupHash(w, varies)
		g, ok := byHash[h]
		if !ok {
			g = len(groups)
			byHash[h] = g
			groups = append(groups, group{words: w, into: g, template: -1})
		}
		groups[g].rows += s.variants[v].rows
		of[m] = g
	}
	absorb(groups, varies)
	for m, v := range members {
		g := of[m]
		for groups[g].into != g {
			g = groups[g].into
		}
		if k := &groups[g]; k.template < 0 {
			k.template = s.draft(v)
		} else {
			s.drafts[k.template].rows += s.variants[v].rows
		}
		s.variants[v].template = groups[g].template
	}
}

// varying finds the tokens that vary most, one after the other, until what is
// left are at most limit kinds of lines. words has a row for each variant.
func varying(words []uint64, width, limit int) []bool {
	varies := make([]bool, width)
	rows := len(words) / max(width, 1)
	kinds := map[uint64]struct{}{}
	for rows > limit {
		clear(kinds)
		for m := range rows {
			kinds[groupHash(words[m*width:][:width], varies)] = struct{}{}
		}
		if len(kinds) <= limit {
			break
		}
		most, at := 1, -1
		for p := range width {
			if varies[p] {
				continue
			}
			clear(kinds)
			for m := range rows {
				kinds[words[m*width+p]] = struct{}{}
			}
			if len(kinds) > most {
				most, at = len(kinds), p
			}
			if len(kinds) > rows/4 && len(kinds) > 8 {
				varies[p] = true
			}
		}
		if at < 0 {
			break
		}
		varies[at] = true
	}
	return varies
}

// absorb makes small groups part of larger ones from which they differ in few
// tokens.
func absorb(groups []group, varies []bool) {
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(groups[b].rows) - int(groups[a].rows) })
	for i := len(order) - 1; i > 0; i-- {
		g := &groups[order[i]]
		if g.rows >= small {
			break
		}
		for _, k := range order[:min(i, 16)] {
			differ, fixed := 0, 0
			for p, w := range g.words {
				if varies[p] {
					continue
				}
				if w != 0 {
					fixed++
				}
				if w != groups[k].words[p] {
					differ++
				}
			}
			if differ <= max(1, fixed/3) {
				groups[k].rows += g.rows
				g.into = k
				break
			}
		}
	}
}

func groupHash(words []uint64, varies []bool) uint64 {
	h := uint64(seed)
	for p, w := range words {
		if !varies[p] {
			h = mix(h, w)
		}
	}
	return h
}

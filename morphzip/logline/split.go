package logline

import "bytes"

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
		if sh.variants <= 2 || sh.rows >= uint32(sh.variants)*32 {
			for v := sh.first; v >= 0; v = s.variants[v].next {
				s.variants[v].template = s.draft(v)
			}
			continue
		}
		s.merge(sh)
	}
}

// merge brings a shape's many variants together.
func (s *splitter) merge(sh *shape) {
	var members []int32
	for v := sh.first; v >= 0; v = s.variants[v].next {
		members = append(members, v)
	}
	width := int(s.lines[s.variants[members[0]].line].tokens)
	// words are the members' fixed tokens, a row each; 0 are the others.
	words := make([]uint64, len(members)*width)
	for m, v := range members {
		for p, t := range s.tokensOf(&s.lines[s.variants[v].line]) {
			if p < width && t.fixed {
				words[m*width+p] = t.value | 1
			}
		}
	}
	limit := max(2, int(sh.rows)/32)
	groups := map[uint64]int32{}
	distinct := map[uint64]struct{}{}
	varies := make([]bool, width)
	for {
		clear(groups)
		for m := range members {
			groups[groupHash(words[m*width:][:width], varies)] = -1
		}
		if len(groups) <= limit {
			break
		}
		most, at := 1, -1
		for p := range width {
			if varies[p] {
				continue
			}
			clear(distinct)
			for m := range members {
				distinct[words[m*width+p]] = struct{}{}
			}
			if len(distinct) > most {
				most, at = len(distinct), p
			}
			if len(distinct) > len(members)/4 && len(distinct) > 8 {
				varies[p] = true
			}
		}
		if at < 0 {
			break
		}
		varies[at] = true
	}
	clear(groups)
	for m, v := range members {
		h := groupHash(words[m*width:][:width], varies)
		t, ok := groups[h]
		if !ok {
			t = s.draft(v)
			groups[h] = t
		} else {
			s.drafts[t].rows += s.variants[v].rows
		}
		s.variants[v].template = t
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

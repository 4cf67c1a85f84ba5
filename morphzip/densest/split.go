package densest

import (
	"bytes"
	"sort"
)

// The kinds of a template's pieces.
const (
	literal byte = iota
	text         // a slot for any bytes but the newline
	instant      // a slot for a point of time
)

// piece is a literal or a slot of a template.
type piece struct {
	kind byte
	form form   // of an instant
	lit  []byte // of a literal
}

// span is a stretch of the block.
type span struct{ from, to int32 }

// row is a line: its template and where its slots' values are.
type row struct {
	shape      *cluster
	start, end int32 // without the newline
	tokens     []token
	values     []span // what stands in the template's slots
}

// token is a stretch of a line: a word, a delimiter or a point of time.
type token struct {
	span
	kind   byte // literal: delimiters; text: words; instant
	form   form
	digits bool
}

// cluster is a set of rows that share a template.
type cluster struct {
	rows   []int32
	wild   []bool // by token
	first  int32
	into   *cluster // what it was merged into
	pieces []piece
	id     int
}

func (c *cluster) root() *cluster {
	for c.into != nil {
		c = c.into
	}
	return c
}

var delimiter [256]bool

func init() {
	for _, c := range []byte(" \t\r=,;()[]{}<>|\"'") {
		delimiter[c] = true
	}
}

// tokenize splits a line.
func tokenize(line []byte, at int32, tokens []token, short bool) []token {
	i := 0
	for i < len(line) {
		if i == 0 || !isWord(line[i-1]) {
			if f, m, n := parseTime(line[i:], short); n > 0 {
				if b, ok := f.appendTime(nil, m); ok && bytes.Equal(b, line[i:i+n]) {
					tokens = append(tokens, token{span: span{at + int32(i), at + int32(i+n)}, kind: instant, form: f})
					i += n
					continue
				}
			}
		}
		j := i
		if delimiter[line[i]] {
			for j < len(line) && delimiter[line[j]] {
				j++
			}
			tokens = append(tokens, token{span: span{at + int32(i), at + int32(j)}, kind: literal})
			i = j
			continue
		}
		t := token{kind: text}
		for j < len(line) && !delimiter[line[j]] {
			if isDigit(line[j]) {
				t.digits = true
			}
			j++
			if j < len(line) && isDigit(line[j]) && !isWord(line[j-1]) && j+8 < len(line) {
				if _, _, n := parseTime(line[j:], short); n > 0 {
					break
				}
			}
		}
		t.span = span{at + int32(i), at + int32(j)}
		tokens = append(tokens, t)
		i = j
	}
	return tokens
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// splitter finds the templates of a block of lines.
type splitter struct {
	block    []byte
	rows     []row
	clusters []*cluster
}

func hashBytes(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001B3
	}
	return h ^ h>>29
}

// tokenHash is the hash of what a token shows while it is not wild.
func (s *splitter) tokenHash(t token, wild bool) uint64 {
	switch {
	case t.kind == instant:
		return uint64(t.form.layout)<<16 | uint64(t.form.separator)<<8 | uint64(t.form.digits)
	case wild:
		return 0x1234567
	}
	return hashBytes(0xcbf29ce484222325, s.block[t.from:t.to])
}

func (s *splitter) maskHash(c *cluster, without int) uint64 {
	h := uint64(17)
	for i, t := range s.rows[c.first].tokens {
		h = mixHash(h, s.tokenHash(t, c.wild[i] || i == without))
	}
	return h
}

// Blocks are lines when these are not too long, and there are enough of them
// for a template.
const (
	longestLine = 1 << 14
	fewestLines = 8
	// What bounds the splitter's memory.
	shortestMean = 12
	mostTokens   = 8 << 20
)

// short tells whether points of time without padding are in the first lines.
func short(block []byte) bool {
	block = block[:min(len(block), 1<<20)]
	for len(block) > 0 {
		line, rest, _ := bytes.Cut(block, []byte{'\n'})
		for _, t := range tokenize(line[:min(len(line), 80)], 0, nil, false) {
			if t.kind == instant && unpadded[t.form.layout] {
				return true
			}
		}
		block = rest
	}
	return false
}

// split cuts the block into rows and clusters them; it returns nil when they
// are not lines with templates.
func split(block []byte) *splitter {
	s := &splitter{block: block}
	lines := bytes.Count(block, []byte{'\n'})
	if lines < fewestLines || lines > 1000 && len(block)/lines < shortestMean || bytes.IndexByte(block[:min(len(block), 1<<16)], 0) >= 0 {
		return nil
	}
	s.rows = make([]row, 0, lines+1)
	short := short(block)
	var scratch, slab []token
	total := 0
	for at := 0; at < len(block); {
		n := bytes.IndexByte(block[at:], '\n')
		end := at + n
		if n < 0 {
			end = len(block)
		}
		if end-at > longestLine {
			return nil
		}
		scratch = tokenize(block[at:end], int32(at), scratch[:0], short)
		if total += len(scratch); total > mostTokens {
			return nil
		}
		if cap(slab)-len(slab) < len(scratch) {
			slab = make([]token, 0, max(1<<12, len(scratch)))
		}
		slab = append(slab, scratch...)
		s.rows = append(s.rows, row{start: int32(at), end: int32(end), tokens: slab[len(slab)-len(scratch) : len(slab) : len(slab)]})
		at = end + 1
	}
	seen := map[uint64]*cluster{}
	for i := range s.rows {
		r := &s.rows[i]
		c := &cluster{first: int32(i), wild: make([]bool, len(r.tokens))}
		for k, t := range r.tokens {
			c.wild[k] = t.kind == text && t.digits
		}
		h := s.maskHash(c, -1)
		if old := seen[h]; old != nil {
			c = old
		} else {
			seen[h] = c
			s.clusters = append(s.clusters, c)
		}
		c.rows = append(c.rows, int32(i))
		r.shape = c
		c.id = -1
	}
	if len(s.clusters) > maxTemplates {
		return nil
	}
	for s.merge() {
	}
	if len(s.clusters) > 16+len(s.rows)*3/4 {
		return nil
	}
	for _, c := range s.clusters {
		s.template(c)
	}
	for i := range s.rows {
		s.rows[i].tokens = nil
	}
	return s
}

// mergeAt is how many clusters that differ in one word only make it a slot.
const mergeAt = 3

// merge joins the clusters that differ in one token only, where there are
// enough of them; it tells whether it did anything.
func (s *splitter) merge() bool {
	type group struct {
		token   int
		members []*cluster
	}
	groups := map[uint64]*group{}
	var order []*group
	for _, c := range s.clusters {
		for i, t := range s.rows[c.first].tokens {
			if t.kind != text || c.wild[i] {
				continue
			}
			h := mixHash(s.maskHash(c, i), uint64(i))
			g := groups[h]
			if g == nil {
				g = &group{token: i}
				groups[h] = g
				order = append(order, g)
			}
			g.members = append(g.members, c)
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return len(order[i].members) > len(order[j].members) })
	merged := false
	for _, g := range order {
		if len(g.members) < mergeAt {
			break
		}
		kept := g.members[:0]
		for _, c := range g.members {
			if c.into == nil && !c.wild[g.token] {
				kept = append(kept, c)
			}
		}
		if len(kept) < mergeAt {
			continue
		}
		head := kept[0]
		head.wild[g.token] = true
		for _, c := range kept[1:] {
			c.into = head
			head.rows = append(head.rows, c.rows...)
		}
		merged = true
	}
	if merged {
		left := s.clusters[:0]
		// A head may have come to equal another cluster.
		seen := map[uint64]*cluster{}
		for _, c := range s.clusters {
			if c.into != nil {
				continue
			}
			h := s.maskHash(c, -1)
			if old := seen[h]; old != nil {
				c.into = old
				old.rows = append(old.rows, c.rows...)
				continue
			}
			seen[h] = c
			left = append(left, c)
		}
		s.clusters = left
		for i := range s.rows {
			s.rows[i].shape = s.rows[i].shape.root()
		}
	}
	return merged
}

// template makes a cluster's template: words that all rows share are literals,
// and so is what the values of a slot begin and end with.
func (s *splitter) template(c *cluster) {
	first := &s.rows[c.first]
	type cut struct{ head, tail int }
	cuts := make([]cut, len(first.tokens))
	fixed := make([]bool, len(first.tokens))
	for i, t := range first.tokens {
		if t.kind != text {
			continue
		}
		v := s.block[t.from:t.to]
		head, tail, same := len(v), len(v), true
		for _, r := range c.rows {
			u := s.rows[r].tokens[i]
			w := s.block[u.from:u.to]
			same = same && bytes.Equal(v, w)
			n := 0
			for n < head && n < len(w) && v[n] == w[n] {
				n++
			}
			head = n
			n = 0
			for n < tail && n < len(w) && v[len(v)-1-n] == w[len(w)-1-n] {
				n++
			}
			tail = n
		}
		fixed[i] = same
		if same {
			continue
		}
		// Cut only before and after other than digits and letters, so that
		// numbers and words stay whole.
		for head > 0 && isWord(v[head-1]) {
			head--
		}
		for tail > 0 && isWord(v[len(v)-tail]) {
			tail--
		}
		shortest := len(v)
		for _, r := range c.rows {
			u := s.rows[r].tokens[i]
			shortest = min(shortest, int(u.to-u.from))
		}
		if head+tail > shortest {
			tail = shortest - head
			for tail > 0 && isWord(v[len(v)-tail]) {
				tail--
			}
		}
		cuts[i] = cut{head, tail}
	}
	var lit []byte
	flush := func() {
		if len(lit) > 0 {
			c.pieces = append(c.pieces, piece{kind: literal, lit: lit})
			lit = nil
		}
	}
	for i, t := range first.tokens {
		v := s.block[t.from:t.to]
		switch {
		case t.kind == instant:
			flush()
			c.pieces = append(c.pieces, piece{kind: instant, form: t.form})
			for _, r := range c.rows {
				s.rows[r].values = append(s.rows[r].values, s.rows[r].tokens[i].span)
			}
		case t.kind == text && !fixed[i]:
			lit = append(lit, v[:cuts[i].head]...)
			flush()
			c.pieces = append(c.pieces, piece{kind: text})
			for _, r := range c.rows {
				u := s.rows[r].tokens[i].span
				s.rows[r].values = append(s.rows[r].values, span{u.from + int32(cuts[i].head), u.to - int32(cuts[i].tail)})
			}
			lit = append(lit, v[len(v)-cuts[i].tail:]...)
		default:
			lit = append(lit, v...)
		}
	}
	flush()
}

package logline

import "bytes"

// Coded is a payload whose head was read: templates, small dictionaries and what
// there is to know of each column. Columns are decoded when asked for. It is
// not for several goroutines at a time.
type Coded struct {
	d     decoder
	table *codedTable
}

// Open reads the head of a payload that Encode made of size bytes. Whatever the
// payload, it allocates no more than Decode does.
func Open(payload []byte, size int) (*Coded, error) {
	c := new(Coded)
	return c, c.open(payload, size)
}

func (c *Coded) open(payload []byte, size int) (err error) {
	if size < 0 || size > maxBlock {
		return corrupt("size of a block")
	}
	c.table, err = c.d.open(payload, size)
	return err
}

// Templates are the block's; lines are rows of them. Each has rows or not: that
// is not looked at.
func (c *Coded) Templates() []Template { return c.table.Templates }

// Columns returns how many columns there are.
func (c *Coded) Columns() int { return len(c.table.columns) }

// Facts are what is known of a column that is not decoded.
type Facts struct {
	Type   Type
	Values int
	// Classes are those of the bytes in values that are not numbers, see Classes;
	// Shortest and Longest their lengths. For digests they are the bytes' that the
	// digits stand for.
	Classes           uint16
	Shortest, Longest int
	// Least and Most are the bounds of numbers.
	Least, Most uint64
}

// Facts tells of a column.
func (c *Coded) Facts(column int) Facts {
	k := &c.table.columns[column]
	f := Facts{Type: c.table.Table.Columns[column].Type, Values: k.length}
	if f.Type.Numeric() {
		f.Least, f.Most = k.least, k.most
	} else {
		f.Classes, f.Shortest, f.Longest = k.classes, int(k.least), int(k.most)
	}
	return f
}

// Classes returns the classes of the bytes of b, a bit for each of sixteen.
func Classes(b []byte) (all uint16) {
	for _, c := range b {
		all |= searchClasses[c]
	}
	return all
}

// Column decodes a column, and those it is predicted from.
func (c *Coded) Column(column int) (*Column, error) {
	if err := c.d.decodeRows(c.table); err != nil {
		return nil, err
	}
	// Any column may be predicted from the ones before it.
	for i := range column + 1 {
		if err := c.d.column(c.table, i); err != nil {
			return nil, err
		}
	}
	return &c.table.Table.Columns[column], nil
}

// entries decodes the distinct values of a column that is not numeric, and of
// those before it that share entries with it.
func (c *Coded) entries(column int) (*Column, error) {
	for i := range column + 1 {
		k := &c.table.columns[i]
		if i < column && (!k.section.pooled || !c.table.columns[column].section.pooled) {
			continue
		}
		if err := c.d.entries(&c.table.Table.Columns[i], k); err != nil {
			return nil, err
		}
	}
	return &c.table.Table.Columns[column], nil
}

// texts returns the column's distinct values, as written, one a line, if they
// are text.
func (c *Coded) texts(column int) ([]byte, error) {
	col, err := c.entries(column)
	if err != nil {
		return nil, err
	}
	s := col.Dictionary
	if col.Table != nil {
		left := 2*c.d.size + 64
		if s, err = col.Table.strings(&left); err != nil {
			return nil, err
		}
	}
	var out []byte
	for i := range s.Ends {
		switch e := s.At(i); col.Type {
		case Digest:
			out = appendDigest(out, e)
		case UUID:
			out = appendUUID(out, e)
		default:
			out = append(out, e...)
		}
		out = append(out, '\n')
	}
	return out, nil
}

// MayContain tells whether a line of the block may contain the literal: false
// is certain. It looks at templates and facts first, and decodes a column only
// where the literal's longest run of the letters or digits could be in it.
func (c *Coded) MayContain(literal []byte) (bool, error) {
	if len(literal) == 0 {
		return true, nil
	}
	m := matcher{c: c, query: literal}
	for i := range c.table.Templates {
		// By the facts alone first, then by the values of text.
		for _, m.exact = range []bool{false, true} {
			ok, err := m.template(&c.table.Templates[i])
			if err != nil || ok && m.exact {
				return ok, err
			}
			if !ok {
				break
			}
		}
	}
	return false, nil
}

// MayContain opens a payload and tells whether a line of it may contain the
// literal.
func MayContain(payload []byte, size int, literal []byte) (bool, error) {
	c, err := Open(payload, size)
	if err != nil {
		return false, err
	}
	return c.MayContain(literal)
}

// matcher looks for a literal in templates.
type matcher struct {
	c       *Coded
	query   []byte
	reached []bool // how much of the query may end where the next piece begins
	then    []bool
	columns map[int]*values
	exact   bool // columns of text are decoded
}

// values are what a column may hold.
type values struct {
	Facts
	layout  Layout
	width   int    // Column.Width
	example []byte // a time as it is written
	several bool   // numbers have widths of their own
	natural bool   // numbers without zeros in front
	text    []byte // the values, a '\n' before and after each; nil if not decoded
}

func (m *matcher) template(t *Template) (bool, error) {
	n := len(m.query)
	if m.reached == nil {
		m.reached, m.then = make([]bool, n+1), make([]bool, n+1)
		m.columns = map[int]*values{}
	}
	clear(m.reached)
	for i, l := range t.Literals {
		if m.literal(l) {
			return true, nil
		}
		if i == len(t.Slots) {
			break
		}
		if int(t.Slots[i]) >= m.c.Columns() {
			return false, corrupt("slot without a column")
		}
		ok, err := m.slot(int(t.Slots[i]))
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// literal follows the query through a piece that every row has.
func (m *matcher) literal(l []byte) bool {
	if bytes.Contains(l, m.query) {
		return true
	}
	clear(m.then)
	for j, ok := range m.reached {
		if !ok {
			continue
		}
		rest := m.query[j:]
		if len(rest) <= len(l) {
			if bytes.HasPrefix(l, rest) {
				return true
			}
		} else if bytes.HasPrefix(rest, l) {
			m.then[j+len(l)] = true
		}
	}
	for j := 1; j < len(m.query) && j <= len(l); j++ {
		if bytes.HasSuffix(l, m.query[:j]) {
			m.then[j] = true
		}
	}
	m.reached, m.then = m.then, m.reached
	return false
}

// slot follows the query through the values of a column.
func (m *matcher) slot(column int) (bool, error) {
	v := m.columns[column]
	if v == nil {
		v = &values{Facts: m.c.Facts(column), layout: m.c.table.Table.Columns[column].Layout}
		v.width, v.several = m.c.table.Table.Columns[column].Width, m.c.table.columns[column].shape != 0
		v.natural = m.c.table.Table.Columns[column].Width == 0 && m.c.table.columns[column].shape == 0
		m.columns[column] = v
	}
	if v.Values == 0 {
		clear(m.reached)
		return false, nil
	}
	n := len(m.query)
	clear(m.then)
	if !v.Type.Numeric() && m.exact {
		ok, err := m.entries(v, column)
		m.reached, m.then = m.then, m.reached
		return ok, err
	}
	for j := range n {
		if j > 0 && !m.reached[j] {
			continue
		}
		// A value that goes on to the end of the query, and maybe further; for
		// j = 0 it may begin earlier.
		if ok, err := m.may(v, column, m.query[j:], j > 0, false); ok || err != nil {
			return ok, err
		}
		for k := j; k < n; k++ {
			if j == 0 && k == 0 {
				continue
			}
			ok, err := m.may(v, column, m.query[j:k], j > 0, true)
			if err != nil {
				return false, err
			}
			if ok {
				m.then[k] = true
			} else if !m.fits(v, m.query[j:k]) {
				break // nor will what is longer
			}
		}
	}
	m.reached, m.then = m.then, m.reached
	return false, nil
}

// fits tells whether bytes may be part of a value as far as their classes and
// number go.
func (m *matcher) fits(v *values, part []byte) bool {
	all := Classes(part)
	switch v.Type {
	case Decimal:
		return all&^Classes([]byte("0")) == 0 && len(part) <= 19
	case Hex:
		return all&^Classes([]byte("0a")) == 0 && len(part) <= 16
	case HexUpper:
		return all&^Classes([]byte("0A")) == 0 && len(part) <= 16
	case Fixed, Address:
		return all&^Classes([]byte("0.")) == 0 && len(part) <= 20
	case Uptime:
		return all&^Classes([]byte("0. ")) == 0 && len(part) <= 26
	case Time:
		return len(part) <= maxLayout+16 && v.layout.may(part)
	case Digest:
		return all&^Classes([]byte("0a")) == 0 && len(part) <= 2*v.Longest
	case UUID:
		return all&^Classes([]byte("0a-")) == 0 && len(part) <= 36
	}
	return all&^v.Classes == 0 && len(part) <= v.Longest
}

// may tells whether a value may contain part, or begin with it, end with it, or
// be it.
func (m *matcher) may(v *values, column int, part []byte, begins, ends bool) (bool, error) {
	if !m.fits(v, part) {
		return false, nil
	}
	if v.Type.Numeric() {
		return v.mayHold(part, begins, ends), nil
	}
	return true, nil
}

// entries follows the query through the values of a column of text. True is that
// one contains what is left of it.
func (m *matcher) entries(v *values, column int) (bool, error) {
	if v.text == nil {
		b, err := m.c.texts(column)
		if err != nil {
			return false, err
		}
		v.text = append([]byte{'\n'}, b...)
	}
	if m.fits(v, m.query) && bytes.Contains(v.text, m.query) {
		return true, nil
	}
	var first, last [256]bool // bytes that values begin or end with to be of use
	for j := range m.query {
		first[m.query[j]] = first[m.query[j]] || j > 0 && m.reached[j]
		last[m.query[j]] = last[m.query[j]] || j+1 < len(m.query)
	}
	for text := v.text[1:]; len(text) > 0; {
		n := bytes.IndexByte(text, '\n')
		e := text[:n]
		text = text[n+1:]
		if n == 0 {
			for j := 1; j < len(m.query); j++ {
				m.then[j] = m.then[j] || m.reached[j]
			}
			continue
		}
		if first[e[0]] {
			for j := 1; j < len(m.query); j++ {
				if rest := m.query[j:]; !m.reached[j] || rest[0] != e[0] {
					continue
				} else if bytes.HasPrefix(e, rest) {
					return true, nil
				} else if bytes.HasPrefix(rest, e) {
					m.then[j+n] = true
				}
			}
		}
		if last[e[n-1]] {
			for k := 1; k <= n && k < len(m.query); k++ {
				if m.query[k-1] == e[n-1] && bytes.HasSuffix(e, m.query[:k]) {
					m.then[k] = true
				}
			}
		}
	}
	return false, nil
}

// decimalBetween tells whether a number from least to most begins with these
// digits, or, whole, is they.
func decimalBetween(digits []byte, least, most uint64, whole bool) bool {
	v := uint64(0)
	for _, c := range digits {
		v = v*10 + uint64(c-'0')
	}
	if whole {
		return v >= least && v <= most
	}
	for low, high := v, v; ; {
		if high >= least && low <= most {
			return true
		}
		if low > most || v == 0 || high > 1e18 {
			return false
		}
		low, high = low*10, high*10+9
	}
}

package logline

// all decodes the rows and every column.
func (d *decoder) all(t *codedTable) error {
	if err := d.decodeRows(t); err != nil {
		return err
	}
	for i := range t.columns {
		if err := d.column(t, i); err != nil {
			return err
		}
	}
	return nil
}

// decodeRows decodes the rows' templates.
func (d *decoder) decodeRows(t *codedTable) error {
	if t.aligner != nil {
		return nil
	}
	d.section = t.rows
	v, err := d.series(t.lines, nil, true)
	if err != nil {
		return err
	}
	if t.Rows, err = indices(v, len(t.Templates)); err != nil {
		return err
	}
	// The rows' values, before any is believed.
	values := make([]int, len(t.Columns))
	uses := make([]int, len(t.Templates))
	for _, r := range t.Rows {
		uses[r]++
	}
	for i := range t.Templates {
		for _, s := range t.Templates[i].Slots {
			if int(s) >= len(values) {
				return corrupt("slot without a column")
			}
			values[s] += uses[i]
		}
	}
	for i, n := range values {
		if n != t.columns[i].length {
			return corrupt("number of values")
		}
	}
	t.aligner = newAligner(&t.Table)
	return nil
}

// indices is the inverse of firsts, for n entries.
func indices(v []uint64, n int) ([]uint32, error) {
	out := make([]uint32, len(v))
	next := 0
	for i, x := range v {
		if x == 0 {
			if next >= n {
				return nil, corrupt("index without an entry")
			}
			out[i] = uint32(next)
			next++
			continue
		}
		if x > uint64(n) {
			return nil, corrupt("index without an entry")
		}
		out[i] = uint32(x - 1)
	}
	return out, nil
}

// nearby is the inverse of distances, for n entries.
func nearby(v []uint64, n int) ([]uint32, error) {
	out := make([]uint32, len(v))
	next := uint64(0)
	for i, x := range v {
		if x > next || (x == 0 && next >= uint64(n)) {
			return nil, corrupt("index without an entry")
		}
		out[i] = uint32(next - x)
		if x == 0 {
			next++
		}
	}
	return out, nil
}

// column decodes a column, after those that it is predicted from.
func (d *decoder) column(t *codedTable, i int) error {
	c, k := &t.Columns[i], &t.columns[i]
	if k.decoded {
		return nil
	}
	k.decoded = true
	if err := d.entries(c, k); err != nil {
		return err
	}
	d.section = k.section
	t.aligner.begin(i)
	if c.Type.Numeric() {
		if k.shape&shapeSeries != 0 {
			w, err := d.series(k.length, t.aligner, false)
			if err != nil {
				return err
			}
			c.Widths = make([]uint8, len(w))
			for n, x := range w {
				if x > 19 {
					return corrupt("width of a number")
				}
				c.Widths[n] = uint8(x)
			}
		}
		var err error
		c.Numbers, err = d.series(k.length, t.aligner, false)
		if k.shape == shapeTrimmed && err == nil {
			c.Widths = make([]uint8, len(c.Numbers))
			for n, v := range c.Numbers {
				c.Widths[n] = uint8(trimmedWidth(v))
			}
		}
		return err
	}
	if k.shape&shapeSeries != 0 {
		back, err := d.varint(1)
		if err != nil {
			return err
		}
		v, err := d.series(k.length, t.aligner, back == 0)
		if err != nil {
			return err
		}
		if back == 1 {
			c.Indices, err = nearby(v, k.entries)
		} else {
			c.Indices, err = indices(v, k.entries)
		}
		if err != nil {
			return err
		}
		if c.Indices == nil {
			c.Indices = []uint32{}
		}
	}
	return nil
}

// entries decodes the distinct values of a column that is not numeric. What is
// left of its section then are the indices.
func (d *decoder) entries(c *Column, k *codedColumn) (err error) {
	if c.Type.Numeric() || k.entered {
		return nil
	}
	k.entered = true
	d.section = k.section
	switch {
	case k.shape&shapeTable != 0:
		err = d.inner(c, k)
	case k.shape&shapeApart != 0:
		err = d.dictionary(c, k)
	}
	k.section = d.section
	return err
}

// inner decodes a column's table.
func (d *decoder) inner(c *Column, k *codedColumn) error {
	if d.depth >= maxDepth {
		return corrupt("tables in tables")
	}
	d.depth++
	defer func() { d.depth-- }()
	t, err := d.table()
	if err != nil {
		return err
	}
	if t.lines != k.entries || t.Unterminated {
		return corrupt("number of entries")
	}
	c.Table = &t.Table
	rest := d.section
	defer func() { d.section = rest }()
	return d.all(t)
}

// dictionary decodes a dictionary that is in the body.
func (d *decoder) dictionary(c *Column, k *codedColumn) error {
	how, err := d.varint(forms - 1)
	if err != nil {
		return err
	}
	if (how == formBytes) == (c.Type == Text) {
		return corrupt("form of a dictionary")
	}
	if how == formLines {
		b, err := d.apart(d.size + k.entries)
		if err != nil {
			return err
		}
		c.Dictionary, err = terminated(b, k.entries)
		return err
	}
	found, err := d.series(k.entries, nil, false)
	if err != nil {
		return err
	}
	n, err := d.varint(k.entries)
	if err != nil {
		return err
	}
	lengths, err := d.ints(n)
	if err != nil {
		return err
	}
	b, err := d.apart(d.size)
	if err != nil {
		return err
	}
	fresh := Strings{Bytes: b, Ends: make([]uint32, 0, n)}
	end := uint64(0)
	for _, l := range lengths {
		if l > uint64(len(b)) || end+l > uint64(len(b)) {
			return corrupt("length of an entry")
		}
		end += l
		fresh.Ends = append(fresh.Ends, uint32(end))
	}
	if end != uint64(len(b)) {
		return corrupt("lengths of entries")
	}
	raw, err := d.pool.resolve(found, &fresh, max(d.bytesLeft, 0))
	if err == nil {
		err = d.charge(len(raw.Bytes))
	}
	if err != nil || how == formBytes {
		if c.Dictionary = raw; c.Type == UUID {
			for i := range raw.Ends {
				if len(raw.At(i)) != 16 {
					return corrupt("length of a UUID")
				}
			}
		}
		return err
	}
	var printed []bool
	if how == formQuoted {
		if printed, err = d.flags(); err != nil {
			return err
		}
	}
	if c.Dictionary, err = raw.text(how, printed, max(d.bytesLeft, 0)); err != nil {
		return err
	}
	return d.charge(len(c.Dictionary.Bytes))
}

// flags decodes flags and how many there are.
func (d *decoder) flags() ([]bool, error) {
	n, err := d.varint(d.size)
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
	r := newFlagHistory(b)
	flags := make([]bool, n)
	for i := range flags {
		flags[i] = r.get()
	}
	if r.over() {
		return nil, corrupt("number of flags")
	}
	return flags, nil
}

// apart decodes bytes of the body, at most limit.
func (d *decoder) apart(limit int) ([]byte, error) {
	n, err := d.varint(limit)
	if err != nil {
		return nil, err
	}
	if err := d.charge(n); err != nil {
		return nil, err
	}
	v, err := d.varint(maxBlock << 3)
	if err != nil {
		return nil, err
	}
	b, err := d.take(v >> 3)
	if err != nil {
		return nil, err
	}
	return d.bytes.decode(b, v&7, n)
}

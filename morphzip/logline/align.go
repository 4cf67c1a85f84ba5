package logline

// aligner tells what other columns hold in the row of each value of a column,
// or held in the last row before it that had a value. Relative 0 is the row's
// template, relative c+1 is column c, which has to be an earlier one.
type aligner struct {
	table   *Table
	columns []aligned
	of      int // the column that is coded
	list    []int

	kindsFor int // the column whose slots forKinds are, plus 1
	forKinds []uint8
}

// aligned is what the aligner knows of a column.
type aligned struct {
	rows []uint32 // of each value
	ids  []uint16 // of each value
	// what was last asked for, and for which column
	idsFor, numbersFor, recentFor int
	forIDs                        []uint16
	forNumbers                    []uint64
	forRecent                     []int32
}

func newAligner(t *Table) *aligner {
	a := &aligner{table: t, columns: make([]aligned, len(t.Columns)+1), of: -1}
	for i := range a.columns {
		a.columns[i].idsFor, a.columns[i].numbersFor, a.columns[i].recentFor = -1, -1, -1
	}
	return a
}

// begin makes c the column that is coded.
func (a *aligner) begin(c int) { a.of = c }

// rows returns the row of each value of column c.
func (a *aligner) rows(c int) []uint32 {
	k := &a.columns[c+1]
	if k.rows != nil {
		return k.rows
	}
	counts := make([]int, len(a.table.Templates))
	for i := range a.table.Templates {
		for _, s := range a.table.Templates[i].Slots {
			if int(s) == c {
				counts[i]++
			}
		}
	}
	k.rows = []uint32{}
	for r, t := range a.table.Rows {
		for range counts[t] {
			k.rows = append(k.rows, uint32(r))
		}
	}
	return k.rows
}

// maxCandidates bounds how many columns are tried.
const maxCandidates = 8

func (a *aligner) candidates() []int {
	if a.of < 0 {
		return nil
	}
	if a.list != nil && a.list[0] == a.of {
		return a.list[1:]
	}
	a.list = append(a.list[:0], a.of)
	templates := 0
	for i := range a.table.Templates {
		slots := a.table.Templates[i].Slots
		for _, s := range slots {
			if int(s) != a.of {
				continue
			}
			templates++
			for k := len(slots) - 1; k >= 0 && len(a.list) <= maxCandidates; k-- {
				if c := int(slots[k]); c < a.of && !a.listed(c+1) {
					a.list = append(a.list, c+1)
				}
			}
			break
		}
	}
	if templates > 1 {
		a.list = append(a.list, 0)
	}
	return a.list[1:]
}

func (a *aligner) listed(c int) bool {
	for _, k := range a.list[1:] {
		if k == c {
			return true
		}
	}
	return false
}

// earlier tells whether a relative is one of those that may be asked for.
func (a *aligner) earlier(other int) bool { return a.of >= 0 && other >= 0 && other <= a.of }

// kinds tells, for each value of the column, which slot it is of, by a hash.
func (a *aligner) kinds() []uint8 {
	if a.of < 0 {
		return nil
	}
	if a.kindsFor == a.of+1 {
		return a.forKinds
	}
	starts := make([]int, len(a.table.Templates)+1)
	number, count := 0, make([]int, len(a.table.Templates))
	for i := range a.table.Templates {
		starts[i] = number
		for _, s := range a.table.Templates[i].Slots {
			if int(s) == a.of {
				count[i]++
			}
		}
		number += count[i]
	}
	a.forKinds = a.forKinds[:0]
	for _, t := range a.table.Rows {
		for k := range count[t] {
			a.forKinds = append(a.forKinds, uint8(starts[t]+k))
		}
	}
	a.kindsFor = a.of + 1
	return a.forKinds
}

func (a *aligner) ids(other int) []uint16 {
	if !a.earlier(other) {
		return nil
	}
	k := &a.columns[other]
	if k.idsFor == a.of {
		return k.forIDs
	}
	rows := a.rows(a.of)
	to := k.forIDs[:0]
	if other == 0 {
		for _, r := range rows {
			to = append(to, uint16(a.table.Rows[r]))
		}
	} else {
		c := &a.table.Columns[other-1]
		if k.ids == nil {
			if c.Type.Numeric() {
				k.ids = identify(k.ids, c.Numbers)
			} else {
				for _, n := range c.Indices {
					k.ids = append(k.ids, uint16(n))
				}
			}
		}
		from, n, last := a.rows(other-1), 0, uint16(0)
		if len(k.ids) < len(from) {
			return nil
		}
		for _, r := range rows {
			for n < len(from) && from[n] <= r {
				last = k.ids[n]
				n++
			}
			to = append(to, last)
		}
	}
	k.idsFor, k.forIDs = a.of, to
	return to
}

func (a *aligner) recent(other int) recent {
	if !a.earlier(other) || other == 0 || !a.table.Columns[other-1].Type.Numeric() {
		return recent{}
	}
	k := &a.columns[other]
	numbers := a.table.Columns[other-1].Numbers
	from := a.rows(other - 1)
	if len(numbers) < len(from) {
		return recent{}
	}
	if k.recentFor != a.of {
		to, n := k.forRecent[:0], 0
		for _, r := range a.rows(a.of) {
			for n < len(from) && from[n] <= r {
				n++
			}
			to = append(to, int32(n)-1)
		}
		k.recentFor, k.forRecent = a.of, to
	}
	return recent{numbers: numbers, at: k.forRecent, unit: a.unit(other - 1)}
}

func (a *aligner) numbers(other int) []uint64 {
	n := a.recent(other)
	if n.at == nil {
		return nil
	}
	k := &a.columns[other]
	if k.numbersFor == a.of {
		return k.forNumbers
	}
	to := k.forNumbers[:0]
	for _, i := range n.at {
		v := uint64(0)
		if i >= 0 {
			v = n.numbers[i] * n.unit
		}
		to = append(to, v)
	}
	k.numbersFor, k.forNumbers = a.of, to
	return to
}

// unit is what the numbers of a column are multiplied by to have the unit of
// those of the one that is coded: times may have different ones.
func (a *aligner) unit(other int) uint64 {
	of, c := &a.table.Columns[a.of], &a.table.Columns[other]
	if of.Type != Time || c.Type != Time {
		return 1
	}
	return powers[min(max(of.digits()-c.digits(), 0), 9)]
}

// digits is how many digits after the second a time's unit has.
func (c *Column) digits() int {
	if c.Widths != nil {
		return 9
	}
	return c.Width
}

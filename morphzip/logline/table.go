// Package logline morphs log lines, and JSON lines, into templates and typed
// columns of their variables, exactly reversibly for any bytes, and codes these
// for the default level.
package logline

// Table is a block of lines, taken apart. Its lines are the rows: each is its
// template's literals with, between them, the next value of each slot's column.
//
//	row r = L[0] v(S[0]) L[1] v(S[1]) … L[n] '\n'
//
// where L and S are the literals and slots of Templates[Rows[r]], and v(c) is
// the value of Columns[c] that follows the one taken last: columns hold their
// values in the order in which the rows, and the slots within a row, use them.
// The '\n' is missing after the last row where Unterminated is set.
//
// Columns are shared between templates where the slots seem to be of one
// nature: the same type after the same words, as the time at each line's begin
// or the number after "height=".
type Table struct {
	Templates []Template
	// Rows is the template of each line.
	Rows    []uint32
	Columns []Column
	// Unterminated says that the last line has no '\n'. It never is set where
	// there are no rows.
	Unterminated bool
}

// Template is what lines have in common. For JSON lines it is the shape: keys,
// order, nesting and spacing.
type Template struct {
	// Literals are one more than there are slots; each may be empty. None
	// holds a '\n'.
	Literals [][]byte
	// Slots are indices into the table's columns.
	Slots []uint32
}

// Type tells what a column's values are, and how they are written.
type Type uint8

// The types of columns. Numeric ones have Numbers, the others Dictionary.
const (
	// Text are arbitrary bytes without '\n': tokens, quoted strings, free text,
	// whole lines.
	Text Type = iota
	// Decimal are unsigned decimal integers.
	Decimal
	// Hex and HexUpper are hexadecimal integers of up to 16 digits, in small or
	// capital letters.
	Hex
	HexUpper
	// Fixed are decimal fractions with Width digits after the point: 12.50 with
	// 2 is 1250. There is at least one digit before the point, and more only
	// without leading zeros.
	Fixed
	// Address are IPv4 addresses, as 32-bit numbers in network order.
	Address
	// Time are times written as Layout says. The number is an int64: the nanoseconds
	// since 1970-01-01 00:00:00 in the time's own zone, divided by 10^(9−Width),
	// so that the last digit written has the unit 1. Without a year it is the
	// year 2000, without a date 1970-01-01. Where there are Widths the number
	// is in nanoseconds.
	Time
	// Uptime are seconds since boot as the kernel's log writes them, %5d.%06d;
	// the number is in microseconds.
	Uptime
	// Digest are byte strings written as small hexadecimal digits; Dictionary
	// holds the bytes themselves, half as many.
	Digest
	// UUID are 16 bytes written as 8-4-4-4-12 small hexadecimal digits.
	UUID

	types
)

// Numeric tells whether the columns of the type have Numbers.
func (t Type) Numeric() bool { return t >= Decimal && t <= Uptime }

// Column holds the values of one or more slots, in the order of the rows.
type Column struct {
	Type Type

	// Layout is how a Time is written, see Layout; nil for other types.
	Layout []byte
	// Numbers are the values of a numeric column.
	Numbers []uint64
	// Width is, for Decimal, Hex and HexUpper, the number of digits that every
	// value has, zeros in front; 0 is as few as it takes. For Fixed and Time it
	// is the number of digits after the point. It means nothing where there
	// are Widths.
	Width int
	// Widths is nil or, where Width is not the same for all, each value's own.
	Widths []uint8

	// Indices are the values of a column that is not numeric, as indices into
	// Dictionary; nil says that value i is entry i.
	Indices []uint32
	// Dictionary has the distinct values in order of first occurrence, or each
	// value where Indices is nil.
	Dictionary Strings
	// Table is nil or, where the entries of Dictionary have a structure of
	// their own, the entries as the lines of a table, one row an entry. A coder
	// takes either; Join takes Table where it is not nil.
	Table *Table
}

// Len returns the number of values.
func (c *Column) Len() int {
	switch {
	case c.Type.Numeric():
		return len(c.Numbers)
	case c.Indices != nil:
		return len(c.Indices)
	case c.Table != nil:
		return len(c.Table.Rows)
	}
	return c.Dictionary.Len()
}

// Strings are byte strings, one after the other.
type Strings struct {
	Bytes []byte
	// Ends are the offsets at which the strings end; the first begins at 0.
	Ends []uint32
}

// Len returns the number of strings.
func (s *Strings) Len() int { return len(s.Ends) }

// At returns the i-th string, which remains part of s.
func (s *Strings) At(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = s.Ends[i-1]
	}
	return s.Bytes[start:s.Ends[i]:s.Ends[i]]
}

// Append appends one string.
func (s *Strings) Append(b []byte) {
	s.Bytes = append(s.Bytes, b...)
	s.Ends = append(s.Ends, uint32(len(s.Bytes)))
}

package mixing

// Numbers are coded as a class, which is nearly the number of digits, and the
// digits that the class leaves open, the most significant ones first:
//
//	class 0  0
//	      1  1
//	      2  2
//	      3  3 and 4        1 bit
//	      4  5 to 12        3 bits
//	      5  13 to 28       4 bits
//	      6  29 to 284      4 and 4 bits
//	      7  all others     4 bits: hexadecimal digits − 3, then these
//
// Class 0 takes one bit, the others three more.
var (
	classBase = [8]uint64{0, 1, 2, 3, 5, 13, 29, 285}
	classBits = [7]int{0, 0, 0, 1, 3, 4, 8}
)

// classOf returns a number's class.
func classOf(u uint64) int {
	class := 7
	for class > 0 && u < classBase[class] {
		class--
	}
	return class
}

// digitsOf returns how many hexadecimal digits a number of class 7 has, at least 3.
func digitsOf(u uint64) int {
	n := 3
	for n < 16 && u>>(4*n) != 0 {
		n++
	}
	return n
}

// Number codes a number, or decodes one, and returns it. The expectations with
// a strength are that the number is want.
func (m *Model) Number(c *Coder, u uint64, want [Expectations]uint64) uint64 {
	var classes [Expectations]int
	for e, w := range want {
		classes[e] = classOf(w)
		m.want[e] = min(classes[e], 1)
	}
	class := classOf(u)
	m.Begin(0)
	if m.Part(c, min(class, 1), 1) == 0 {
		return 0
	}
	for e := range want {
		m.want[e] = classes[e]
	}
	class = m.Part(c, class, 3)
	if class == 0 {
		return 0 // of no encoder
	}
	part := uint32(class)
	if class < 7 {
		base := classBase[class]
		switch bits := classBits[class]; {
		case bits == 8:
			high := m.piece(c, u-base, &want, base, 4, 4, &part)
			return base + high<<4 + m.piece(c, u-base, &want, base, 0, 4, &part)
		case bits > 0:
			return base + m.piece(c, u-base, &want, base, 0, bits, &part)
		}
		return base
	}
	for e, w := range want {
		m.want[e] = digitsOf(w) - 3
	}
	m.Begin(part)
	n := m.Part(c, digitsOf(u)-3, 4) + 3
	part = uint32(8 + n)
	v := uint64(0)
	for k := min(n, 16) - 1; k >= 0; k-- {
		v = v<<4 | m.piece(c, u, &want, 0, 4*k, 4, &part)
	}
	return v
}

// piece codes bits bits of u from bit shift on.
func (m *Model) piece(c *Coder, u uint64, want *[Expectations]uint64, base uint64, shift, bits int, part *uint32) uint64 {
	mask := uint64(1)<<bits - 1
	for e := range want {
		m.want[e] = int((want[e] - base) >> shift & mask)
	}
	m.Begin(*part)
	p := uint64(m.Part(c, int(u>>shift&mask), bits))
	*part = *part*31 + uint32(p) + 29
	return p
}

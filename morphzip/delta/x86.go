package delta

// The lengths of x86-64 instructions, and where in them the operands are that
// hold a distance from the instruction's end (Intel 64 and IA-32 Architectures
// Software Developer's Manual, volume 2, chapter 2 and appendix A).

// operand says what follows an opcode.
type operand uint8

const (
	modRM      operand = 1 << iota // a ModRM byte, and what it asks for
	immediate8                     // one byte
	immediateZ                     // four bytes, two with the prefix 66
	relative32                     // a distance of four bytes
	invalid
	immediateV // eight bytes with REX.W, otherwise as immediateZ
	immediate2 // two bytes
	special
)

// oneByte and twoByte (after 0F) are by opcode.
var oneByte, twoByte = opcodes()

func opcodes() (one, two [256]operand) {
	for base := 0; base < 0x40; base += 8 {
		for i := range 4 {
			one[base+i] = modRM
		}
		one[base+4], one[base+5] = immediate8, immediateZ
		one[base+6], one[base+7] = invalid, invalid
	}
	set := func(table *[256]operand, from, to int, o operand) {
		for i := from; i <= to; i++ {
			table[i] = o
		}
	}
	set(&one, 0x60, 0x62, invalid)
	one[0x63] = modRM
	one[0x68], one[0x6a] = immediateZ, immediate8
	one[0x69], one[0x6b] = modRM|immediateZ, modRM|immediate8
	set(&one, 0x70, 0x7f, immediate8)
	one[0x80], one[0x81], one[0x82], one[0x83] = modRM|immediate8, modRM|immediateZ, invalid, modRM|immediate8
	set(&one, 0x84, 0x8f, modRM)
	one[0x9a] = invalid
	set(&one, 0xa0, 0xa3, special) // an address of eight bytes
	one[0xa8], one[0xa9] = immediate8, immediateZ
	set(&one, 0xb0, 0xb7, immediate8)
	set(&one, 0xb8, 0xbf, immediateV)
	one[0xc0], one[0xc1], one[0xc2] = modRM|immediate8, modRM|immediate8, immediate2
	one[0xc6], one[0xc7] = modRM|immediate8, modRM|immediateZ
	one[0xc8], one[0xca], one[0xcd] = immediate2|immediate8, immediate2, immediate8
	one[0xce] = invalid
	set(&one, 0xd0, 0xd3, modRM)
	set(&one, 0xd4, 0xd6, invalid)
	set(&one, 0xd8, 0xdf, modRM)
	set(&one, 0xe0, 0xe7, immediate8)
	one[0xe8], one[0xe9], one[0xea], one[0xeb] = relative32, relative32, invalid, immediate8
	one[0xf6], one[0xf7] = modRM|special, modRM|special // TEST has an immediate
	one[0xfe], one[0xff] = modRM, modRM

	set(&two, 0x00, 0xff, modRM)
	for _, i := range []int{0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x0e, 0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa} {
		two[i] = 0
	}
	set(&two, 0x30, 0x37, 0)
	set(&two, 0xc8, 0xcf, 0)
	for _, i := range []int{0x04, 0x0a, 0x0c, 0x0f, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f} {
		two[i] = invalid
	}
	for _, i := range []int{0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6} {
		two[i] = modRM | immediate8
	}
	set(&two, 0x80, 0x8f, relative32)
	return one, two
}

// instruction returns the length of the instruction that code begins with, and
// where in it a distance of four bytes is (0 for none). The length is 1 for what
// is none, or is cut off.
func instruction(code []byte) (length, distance int) {
	var wide, small bool // REX.W, prefix 66
	n := 0
	next := func() byte {
		if n >= len(code) {
			n++
			return 0
		}
		n++
		return code[n-1]
	}
	opcode := next()
	for n < 15 {
		switch opcode {
		case 0x66:
			small = true
		case 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65:
		default:
			goto prefixed
		}
		opcode = next()
	}
prefixed:
	if opcode&0xf0 == 0x40 {
		wide = opcode&8 != 0
		opcode = next()
	}
	o := oneByte[opcode]
	switch opcode {
	case 0x0f:
		opcode = next()
		o = twoByte[opcode]
		switch opcode {
		case 0x38:
			next()
			o = modRM
		case 0x3a:
			next()
			o = modRM | immediate8
		}
	case 0xc5, 0xc4, 0x62:
		// VEX and EVEX: the map of opcodes is in the prefix.
		table := byte(1)
		switch first := next(); opcode {
		case 0xc4:
			table = first & 31
			next()
		case 0x62:
			table = first & 7
			next()
			next()
		}
		opcode = next()
		switch table {
		case 1:
			o = twoByte[opcode] &^ (relative32 | invalid)
			if opcode != 0x77 {
				o |= modRM
			}
		case 3:
			o = modRM | immediate8
		default:
			o = modRM
		}
	}
	if o&invalid != 0 {
		return 1, 0
	}
	if o&modRM != 0 {
		m := next()
		mode, register := m>>6, m&7
		if o&special != 0 && m>>3&7 < 2 {
			if opcode == 0xf6 {
				o |= immediate8
			} else {
				o |= immediateZ
			}
		}
		switch {
		case mode == 3:
		case register == 4:
			if base := next() & 7; base == 5 && mode == 0 {
				n += 4
			}
		case register == 5 && mode == 0:
			distance = n
			n += 4
		}
		switch mode {
		case 1:
			n++
		case 2:
			n += 4
		}
	} else if o&special != 0 {
		n += 8
	}
	if o&relative32 != 0 {
		distance = n
		n += 4
	}
	if o&immediateV != 0 && wide {
		n += 8
	} else if o&(immediateV|immediateZ) != 0 {
		if small {
			n += 2
		} else {
			n += 4
		}
	}
	if o&immediate2 != 0 {
		n += 2
	}
	if o&immediate8 != 0 {
		n++
	}
	if n > len(code) || n > 15 {
		return 1, 0
	}
	return n, distance
}

package x86

// opensField tells by the bytes before i, of which there is one at least,
// whether an instruction's distance of 32 bits begins there, and how many of the
// instruction's bytes follow it. It looks back at most three bytes.
func opensField(code []byte, i int) (trailing int, ok bool) {
	switch last := code[i-1]; {
	case last&0xfe == 0xe8: // call, jmp
		return 0, i < 2 || !takesModRM(code[i-2])
	case last&0xf0 == 0x80: // jcc
		return 0, i >= 2 && code[i-2] == 0x0f
	case last&0xc7 == 0x05: // ModRM: [RIP+disp32]
		if i < 2 {
			return 0, false
		}
		op := code[i-2]
		if last == 0x3d && (op == 0x83 || op == 0x80) { // cmp [RIP+disp32], imm8
			return 1, true
		}
		if i < 3 {
			return 0, false
		}
		switch before := code[i-3]; {
		case before == 0x0f:
			return 0, isMedia(op)
		case before&0xf8 == 0x48: // REX.W: a 64-bit register
			return 0, isPlain(op)
		}
		return 0, op == 0x8b || op == 0x89 || op == 0x8d
	}
	return 0, false
}

// takesModRM are frequent opcodes after which a byte E8 or E9 names registers.
func takesModRM(b byte) bool {
	switch b {
	case 0x89, 0x8b, 0x83, 0xc1, 0xd1, 0xd3, 0x01, 0x29, 0x31, 0x39, 0x85:
		return true
	}
	return false
}

// isPlain are the opcodes of one byte that take a memory operand and no
// immediate: mov, lea, movsxd, and arithmetic on registers.
func isPlain(b byte) bool {
	switch b {
	case 0x8b, 0x89, 0x8d, 0x63, 0x85, 0xff, 0x01, 0x03, 0x29, 0x2b, 0x21, 0x23, 0x09, 0x0b, 0x31, 0x33, 0x39, 0x3b:
		return true
	}
	return false
}

// isMedia are opcodes after 0F that take a memory operand: moves to and from
// vector registers, arithmetic on them, and widening loads.
func isMedia(b byte) bool {
	switch b {
	case 0x10, 0x11, 0x28, 0x29, 0x2a, 0x2e, 0x2f, 0x51, 0x57, 0x58, 0x59, 0x5c, 0x5e, 0x6f, 0x7f, 0xb6, 0xb7, 0xbe, 0xbf:
		return true
	}
	return false
}

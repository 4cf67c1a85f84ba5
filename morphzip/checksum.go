package morphzip

import "hash/crc32"

// Checksums are CRC-32C: all damage within 32 bits is found, any other but for
// one case in 2³², and processors compute it at the speed of memory. Each block
// has two, of its stored bytes and of its content: together they are 64 bits
// against accident. Against forgery there is none: that is what signatures are
// for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func updateChecksum(sum uint32, b []byte) uint32 { return crc32.Update(sum, castagnoli, b) }

// polynomialProduct multiplies two polynomials over GF(2) modulo Castagnoli's,
// in its bit order: bit 31 is the coefficient of x⁰.
func polynomialProduct(a, b uint32) uint32 {
	product := uint32(0)
	for bit := uint32(1 << 31); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		b = b>>1 ^ crc32.Castagnoli&-(b&1)
	}
	return product
}

// joinChecksums is the checksum of two parts one after the other, from theirs
// and the second's length: Σ(ab) = Σ(a)·x^(8│b│) + Σ(b).
func joinChecksums(a, b uint32, length uint64) uint32 {
	shift := uint32(1 << 31)  // x⁰
	square := uint32(1) << 23 // x⁸: one byte
	for ; length != 0; length >>= 1 {
		if length&1 != 0 {
			shift = polynomialProduct(shift, square)
		}
		square = polynomialProduct(square, square)
	}
	return polynomialProduct(shift, a) ^ b
}

// runChecksum is the checksum of a run of one byte, in time logarithmic in its
// length.
func runChecksum(value byte, length uint64) uint32 {
	sum, part, size := uint32(0), checksum([]byte{value}), uint64(1)
	for ; length != 0; length >>= 1 {
		if length&1 != 0 {
			sum = joinChecksums(sum, part, size)
		}
		part = joinChecksums(part, part, size)
		size <<= 1
	}
	return sum
}

package delta

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// word is a reference: its offset and kind.
type word struct {
	offset int64
	kind   kind
}

// maxWords bounds how many types and methods are looked at, and functions' data.
const maxWords = 1 << 20

// extraSizes are how many bytes follow the common part of a type's description
// (internal/abi, type.go), by kind.
var extraSizes = [32]int64{17: 24, 18: 16, 19: 8, 20: 32, 21: 64, 22: 8, 23: 8, 25: 32}

const (
	commonSize    = 48
	kindInterface = 20
)

// readTypes returns the references in the descriptions of a program's types, in
// order. Nothing lists all of them: what looks like one in each field is one.
func (t *tables) readTypes(file *pages, m *image) []word {
	var words []word
	var data [commonSize + 32]byte
	begin := t.types.start + int64(-t.bases[fromTypes]&7)
	for at := begin; at+commonSize <= t.types.end && t.left > 0; at += 8 {
		head := file.at(at)
		if len(head) < commonSize {
			file.read(data[:commonSize], at)
			head = data[:]
		}
		// Alignments of 1 to 8, twice, are rarely anything else.
		if a := head[21]; a != head[22] || a == 0 || a > 8 || a&(a-1) != 0 || !t.isType(file, m, head[:commonSize]) {
			continue
		}
		t.left--
		n := file.read(data[:], at)
		words = t.readType(file, m, words, at, data[:n])
		at += commonSize - 8
	}
	slices.SortFunc(words, func(a, b word) int { return cmp.Compare(a.offset, b.offset) })
	return words
}

// isType says whether the common part of a type's description is one.
func (t *tables) isType(file *pages, m *image, data []byte) bool {
	le := binary.LittleEndian
	size, pointers := le.Uint64(data), le.Uint64(data[8:])
	if size > 1<<40 || pointers > size || data[20] > 127 || data[23]&31 == 0 || data[23]&31 > 26 {
		return false
	}
	for _, address := range []uint64{le.Uint64(data[24:]), le.Uint64(data[32:])} {
		if _, ok := m.placeOf(address); !ok && address != 0 {
			return false
		}
	}
	limit := t.types.end - t.types.start
	name := int64(le.Uint32(data[40:]))
	if name == 0 || name >= limit || int64(le.Uint32(data[44:])) >= limit {
		return false
	}
	// Its name: flags, the length, and what is text.
	var text [4]byte
	file.read(text[:], t.types.start+name)
	return text[0] < 32 && text[1] > 0 && (text[2] >= ' ' && text[2] < 127 || text[1] > 127)
}

// readType adds the references of the description at an offset.
func (t *tables) readType(file *pages, m *image, words []word, at int64, data []byte) []word {
	le := binary.LittleEndian
	add := func(offset int64, value uint32, k kind) {
		if value != 0 && value != 1<<32-1 {
			words = append(words, word{offset, k})
		}
	}
	add(at+40, le.Uint32(data[40:]), fromTypes)
	add(at+44, le.Uint32(data[44:]), fromTypes)
	kind := data[23] & 31
	if kind == kindInterface && len(data) >= commonSize+24 {
		if place, ok := m.placeOf(le.Uint64(data[commonSize+8:])); ok {
			count := int64(min(le.Uint64(data[commonSize+16:]), 1<<16))
			for i := int64(0); i < count && place+8*i+8 <= t.types.end && place >= at && t.left > 0; i++ {
				t.left--
				var method [8]byte
				file.read(method[:], place+8*i)
				add(place+8*i, le.Uint32(method[:]), fromTypes)
				add(place+8*i+4, le.Uint32(method[4:]), fromTypes)
			}
		}
	}
	const uncommon = 1
	if data[20]&uncommon == 0 {
		return words
	}
	at += commonSize + extraSizes[kind]
	var more [16]byte
	if at+16 > t.types.end || file.read(more[:], at) < 16 {
		return words
	}
	add(at, le.Uint32(more[:]), fromTypes)
	methods, first := int64(le.Uint16(more[4:])), at+int64(le.Uint32(more[8:]))
	for i := range methods {
		method := first + 16*i
		if t.left--; method+16 > t.types.end || t.left < 0 {
			break
		}
		file.read(more[:], method)
		add(method, le.Uint32(more[:]), fromTypes)
		add(method+4, le.Uint32(more[4:]), fromTypes)
		add(method+8, le.Uint32(more[8:]), fromText)
		add(method+12, le.Uint32(more[12:]), fromText)
	}
	return words
}

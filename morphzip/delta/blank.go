package delta

import "encoding/binary"

// blank makes a view of a file in which references are replaced by what does not
// change when places move: by what is at the place they name where that tells it
// from others, otherwise by bytes that are the same for all of a kind.
func blank(source *pages, r *references, cached int) *pages {
	view := newPages(source.source, source.size, cached)
	number := -1
	view.prepare = func(offset int64, page []byte) {
		c := r.from(offset - 8)
		for {
			at, k, ok := c.next()
			if !ok || at >= offset+int64(len(page)) {
				return
			}
			number = nearby(r.images, at, number)
			var bytes [8]byte
			binary.LittleEndian.PutUint64(bytes[:], r.constant(source, number, at, k))
			for i := range k.size() {
				if j := at + i - offset; j >= 0 && j < int64(len(page)) {
					page[j] = bytes[i]
				}
			}
		}
	}
	return view
}

// constant is what stands for a reference in a blank view.
func (r *references) constant(file *pages, number int, at int64, k kind) uint64 {
	if number < 0 {
		return 0
	}
	m := &r.images[number]
	var data [8]byte
	read := func(place int64) uint64 {
		clear(data[:])
		file.read(data[:], place)
		return binary.LittleEndian.Uint64(data[:])
	}
	place := int64(-1)
	if k > addressOfTable {
		file.read(data[:4], at)
		place, _ = m.placeOf(r.bases[number][k] + uint64(binary.LittleEndian.Uint32(data[:4])))
	}
	switch k {
	case fromIndex:
		// Where the function ends, from where it begins.
		begin := uint32(read(at))
		return uint64(uint32(read(at+8)) - begin)
	case fromNames, fromFiles:
		return textHash(file, place)
	case fromFunctions:
		name := read(place) >> 32
		place, _ = m.placeOf(r.bases[number][fromNames] + name)
		return textHash(file, place)
	case fromTypeList:
		return read(place+16) * prime >> 32
	case addressOfTable:
		place, _ = m.placeOf(read(at))
		return read(place+16) * prime
	case address64:
		if place, _ = m.placeOf(read(at)); m.inCode(place) {
			return r.codeHash(file, place)
		}
	}
	return (uint64(k) + 1) * prime
}

// textHash is the hash of the text at a place, up to its zero.
func textHash(file *pages, place int64) uint64 {
	var hash uint64
	for range 256 {
		data := file.at(place)
		if len(data) == 0 || data[0] == 0 {
			break
		}
		hash = hash*prime + uint64(data[0]) + 1
		place++
	}
	return hash >> 32
}

// codeHash is the hash of the code at a place, but for its references.
func (r *references) codeHash(file *pages, place int64) uint64 {
	var code [64]byte
	n := int64(file.read(code[:], place))
	c := r.from(place)
	for {
		at, k, ok := c.next()
		if !ok || at+k.size() > place+n {
			break
		}
		clear(code[at-place : at-place+k.size()])
	}
	return hashOf(code[:]) | 1
}

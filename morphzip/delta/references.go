package delta

import (
	"encoding/binary"
	"slices"
)

// kind is what a reference is: how its bytes name a place in the image.
type kind uint8

const (
	// A distance of four bytes from an instruction's end, which is so many
	// bytes behind the distance.
	distance0 kind = iota
	distance1
	distance2
	distance4
	// An address of eight bytes, one of a method table's in a list of them.
	address64
	addressOfTable
	// Four bytes: how far behind one of Go's tables the place is.
	fromText
	fromIndex // the same, in the index of functions
	fromNames
	fromUnits // in words
	fromFiles
	fromProgram // the tables by program counter
	fromFunctions
	fromFuncData
	fromTypes
	fromTypeList // the same, in the list of types
	fromReadOnly
	// No reference is of these: their bases are the index of functions and the
	// table of what is at which address.
	fromIndexed
	fromBuckets
	kinds
)

// size is how many bytes the reference takes.
func (k kind) size() int64 {
	if k.absolute() {
		return 8
	}
	return 4
}

func (k kind) absolute() bool { return k == address64 || k == addressOfTable }

const (
	regionBits = 11
	regionSize = 1 << regionBits
	kindBits   = 5
)

// references are where a file's bytes name places in it, in order and without
// overlap.
type references struct {
	// list has for each its offset in its region of 2 KiB and its kind.
	list []uint16
	// first is, by region, the index in list of its first.
	first []uint32
	last  int64 // the end of the last
	// images and bases are what the references are relative to.
	images []image
	bases  [][kinds]uint64 // by image: addresses, by kind
	// functions are how many functions are in the index, by image.
	functions []int64
}

// findReferences finds a file's images, and the references in them.
func findReferences(file *pages) *references {
	r := &references{first: make([]uint32, 1, file.size>>regionBits+2)}
	r.images = findImages(file)
	r.bases = make([][kinds]uint64, len(r.images))
	r.functions = make([]int64, len(r.images))
	for i := range r.images {
		r.readImage(file, i)
	}
	r.upTo(file.size>>regionBits + 1)
	return r
}

// upTo ends the regions before the one of that number.
func (r *references) upTo(region int64) {
	for int64(len(r.first)) <= region {
		r.first = append(r.first, uint32(len(r.list)))
	}
}

// maxReferences bounds them; a program of 60 MB has three million.
const maxReferences = 8 << 20

// add adds the reference at the offset, unless it overlaps the last one.
func (r *references) add(offset int64, k kind) {
	if offset < r.last || len(r.list) == maxReferences || offset>>regionBits < int64(len(r.first))-1 {
		return
	}
	r.upTo(offset >> regionBits)
	r.list = append(r.list, uint16(offset&(regionSize-1))<<kindBits|uint16(k))
	r.last = offset + k.size()
}

// from returns the index in list of the first reference at the offset or behind
// it, and the region it may be in.
func (r *references) from(offset int64) cursor {
	region := max(offset, 0) >> regionBits
	if region+1 >= int64(len(r.first)) {
		return cursor{r: r, region: int64(len(r.first)) - 1, index: len(r.list)}
	}
	begin, end := int(r.first[region]), int(r.first[region+1])
	i, _ := slices.BinarySearch(r.list[begin:end], uint16(max(offset, 0)&(regionSize-1))<<kindBits)
	return cursor{r: r, region: region, index: begin + i}
}

// cursor walks along references.
type cursor struct {
	r      *references
	region int64
	index  int
}

// next returns the next reference; ok is false behind the last.
func (c *cursor) next() (offset int64, k kind, ok bool) {
	if c.index >= len(c.r.list) {
		return 0, 0, false
	}
	for uint32(c.index) >= c.r.first[c.region+1] {
		c.region++
	}
	entry := c.r.list[c.index]
	c.index++
	return c.region<<regionBits | int64(entry>>kindBits), kind(entry & (1<<kindBits - 1)), true
}

// readImage adds an image's references.
func (r *references) readImage(file *pages, number int) {
	m := &r.images[number]
	tables := findTables(file, m)
	if tables != nil {
		r.bases[number], r.functions[number] = tables.bases, tables.count
	}
	sections := slices.Clone(m.sections)
	slices.SortStableFunc(sections, func(a, b section) int {
		if a.start != b.start {
			return int(min(max(a.start-b.start, -1), 1))
		}
		return int(min(max(a.end-b.end, -1), 1))
	})
	done := m.start
	for _, s := range sections {
		// Sections that overlap are read once.
		if from := max(s.start, done); from < s.end {
			s.address += uint64(from - s.start)
			s.start, done = from, s.end
		} else {
			continue
		}
		switch {
		case s.code:
			r.readCode(file, m, s)
		case tables != nil && s.start <= tables.header && tables.header < s.end:
			tables.readFunctions(file, r, m, s)
		case s.name == ".typelink" && tables != nil:
			for at := s.start; at+4 <= s.end; at += 4 {
				r.add(at, fromTypeList)
			}
		case s.name == ".itablink":
			r.readData(file, m, s, addressOfTable, nil)
		default:
			var words []word
			if tables != nil && s.start <= tables.types.start && tables.types.end <= s.end {
				words = tables.readTypes(file, m)
			}
			r.readData(file, m, s, address64, words)
		}
	}
}

// readCode adds the distances in a section of code that end in the image.
func (r *references) readCode(file *pages, m *image, s section) {
	var across [32]byte
	for at := s.start; at < s.end; {
		code := file.at(at)
		if int64(len(code)) > s.end-at {
			code = code[:s.end-at]
		}
		whole := len(code)
		if at+int64(len(code)) < s.end {
			if whole > 16 {
				whole -= 16
			} else {
				n := file.read(across[:], at)
				code = across[:min(int64(n), s.end-at)]
				whole = min(whole, len(code))
			}
		}
		i := 0
		for i < whole {
			length, distance := instruction(code[i:])
			if distance > 0 {
				k, ok := distanceKind(length - distance - 4)
				value := int64(int32(binary.LittleEndian.Uint32(code[i+distance:])))
				target := s.address + uint64(at-s.start) + uint64(i+length) + uint64(value)
				if _, inside := m.placeOf(target); ok && inside {
					r.add(at+int64(i+distance), k)
				}
			}
			i += length
		}
		at += int64(i)
	}
}

func distanceKind(behind int) (kind, bool) {
	switch behind {
	case 0:
		return distance0, true
	case 1:
		return distance1, true
	case 2:
		return distance2, true
	case 4:
		return distance4, true
	}
	return 0, false
}

// readData adds the words of a section that are addresses in the image, and those
// references that are known already.
func (r *references) readData(file *pages, m *image, s section, k kind, known []word) {
	at := s.start + int64(-s.address&7)
	for ; at+8 <= s.end; at += 8 {
		taken := false
		for len(known) > 0 && known[0].offset < at+8 {
			r.add(known[0].offset, known[0].kind)
			known, taken = known[1:], true
		}
		if taken {
			continue
		}
		data := file.at(at)
		var across [8]byte
		if len(data) < 8 {
			file.read(across[:], at)
			data = across[:]
		}
		value := binary.LittleEndian.Uint64(data)
		if value < 4096 {
			continue
		}
		if _, ok := m.placeOf(value); ok {
			r.add(at, k)
		}
	}
}

package delta

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// datum is where a function's data of one kind begin, behind the base of all.
type datum struct{ offset, kind uint32 }

// The kinds of data that have references (internal/abi, funcdata.go).
const (
	stackObjects = 2
	inlineTree   = 3
	wrapped      = 7
)

// readFuncData adds the references in functions' data.
func (t *tables) readFuncData(file *pages, r *references, m *image, s section, data []datum) {
	base, ok := m.placeOf(t.bases[fromFuncData])
	if !ok {
		return
	}
	slices.SortFunc(data, func(a, b datum) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.kind, b.kind))
	})
	data = slices.Compact(data)
	for i, d := range data {
		at, end := base+int64(d.offset), s.end
		if i+1 < len(data) {
			end = base + int64(data[i+1].offset)
		}
		end = min(end, s.end)
		switch d.kind {
		case stackObjects:
			var count [8]byte
			file.read(count[:], at)
			end = min(end, at+8+16*int64(min(binary.LittleEndian.Uint64(count[:]), 1<<20)))
			for at += 8; at+16 <= end; at += 16 {
				r.addUnlessZero(file, at+12, fromReadOnly)
			}
		case inlineTree:
			for ; at+16 <= end; at += 16 {
				r.addUnlessZero(file, at+4, fromNames)
			}
		case wrapped:
			if at+4 <= end {
				r.addUnlessZero(file, at, fromText)
			}
		}
	}
}

package delta

import "encoding/binary"

// tables are where a Go program's tables are (runtime.moduledata, as Go 1.20 to
// 1.26 lay it out), which hold distances from their own beginnings.
type tables struct {
	bases     [kinds]uint64
	header    int64 // of the tables by function, in the file
	functions int64 // their index, in the file
	count     int64 // of functions
	units     span  // indices of files
	types     span
	// left bounds the work that descriptions of types ask for.
	left int
}

type span struct{ start, end int64 }

// functionMagic begins the tables by function since Go 1.20.
const functionMagic = 0xfffffff1

// findTables looks for a program's tables; without, or when they are not as
// expected, it returns nil.
func findTables(file *pages, m *image) *tables {
	s := m.section(".gopclntab")
	if s.end-s.start < 72 {
		s = m.section(".data.rel.ro.gopclntab")
	}
	var header [8]byte
	if s.end-s.start < 72 || file.read(header[:], s.start) < 8 || binary.LittleEndian.Uint32(header[:]) != functionMagic || header[7] != 8 {
		return nil
	}
	for _, name := range []string{".go.module", ".noptrdata", ".data", ".data.rel.ro"} {
		module := m.section(name)
		for at := module.start + int64(-module.address&7); at+41*8 <= module.end; at += 8 {
			var data [41 * 8]byte
			file.read(data[:8], at)
			if binary.LittleEndian.Uint64(data[:]) != s.address {
				continue
			}
			file.read(data[:], at)
			var words [41]uint64
			for i := range words {
				words[i] = binary.LittleEndian.Uint64(data[i*8:])
			}
			if t := readModule(m, words); t != nil {
				return t
			}
		}
	}
	return nil
}

// readModule reads moduledata's words.
func readModule(m *image, words [41]uint64) *tables {
	const (
		names, units, files, program, functions, index = 1, 4, 7, 10, 13, 16
		find                                           = 19
		text, types, typesEnd, rodata, funcData        = 22, 37, 38, 39, 40
	)
	t := &tables{left: maxWords}
	t.bases[fromText], t.bases[fromIndex], t.bases[fromNames], t.bases[fromUnits] = words[text], words[text], words[names], words[units]
	t.bases[fromFiles], t.bases[fromProgram], t.bases[fromFunctions] = words[files], words[program], words[functions]
	t.bases[fromFuncData], t.bases[fromReadOnly] = words[funcData], words[rodata]
	t.bases[fromTypes], t.bases[fromTypeList] = words[types], words[types]
	t.bases[fromIndexed], t.bases[fromBuckets] = words[index], words[find]
	for k := fromText; k < kinds; k++ {
		if place, ok := m.placeOf(t.bases[k]); !ok || place >= unfiled {
			return nil
		}
	}
	t.header, _ = m.placeOf(words[0])
	t.functions, _ = m.placeOf(words[index])
	t.count = int64(words[index+1]) - 1
	t.units.start, _ = m.placeOf(words[units])
	t.units.end = t.units.start + 4*int64(words[units+1])
	t.types.start, _ = m.placeOf(words[types])
	end, ok := m.placeOf(words[typesEnd])
	t.types.end = end
	if !ok || words[index] != words[functions] || t.count < 1 || t.count > 1<<26 || words[units+1] > 1<<26 || end >= unfiled || rodata == 0 {
		return nil
	}
	return t
}

// readFunctions adds the references in the tables by function, which are in the
// section s: cutab, functab and the functions themselves.
func (t *tables) readFunctions(file *pages, r *references, m *image, s section) {
	if t.units.start < s.start || t.units.end > t.functions || t.functions+8*t.count+4 > s.end {
		return
	}
	for at := t.units.start; at+4 <= t.units.end; at += 4 {
		r.add(at, fromFiles)
	}
	for i := range t.count {
		r.add(t.functions+8*i, fromIndex)
		r.add(t.functions+8*i+4, fromFunctions)
	}
	r.add(t.functions+8*t.count, fromIndex)
	var entry [8]byte
	var funcData []datum
	end := t.functions + 8*t.count + 4 // of what was read
	for i := range t.count {
		file.read(entry[:], t.functions+8*i)
		at := t.functions + int64(binary.LittleEndian.Uint32(entry[4:]))
		var function [44]byte
		if at < end || at+44 > s.end || file.read(function[:], at) < 44 {
			return
		}
		r.add(at, fromText)
		r.add(at+4, fromNames)
		for field := int64(16); field <= 24; field += 4 {
			r.addUnlessZero(file, at+field, fromProgram)
		}
		programs, data := int64(binary.LittleEndian.Uint32(function[28:])), int64(function[43])
		r.add(at+32, fromUnits)
		if programs > 64 || at+44+4*(programs+data) > s.end {
			return
		}
		end = at + 44 + 4*(programs+data)
		for j := range programs {
			r.addUnlessZero(file, at+44+4*j, fromProgram)
		}
		for j := range data {
			here := at + 44 + 4*(programs+j)
			if r.addUnlessZero(file, here, fromFuncData) && len(funcData) < maxWords {
				file.read(entry[:4], here)
				funcData = append(funcData, datum{binary.LittleEndian.Uint32(entry[:]), uint32(j)})
			}
		}
	}
	t.readFuncData(file, r, m, s, funcData)
}

// addUnlessZero adds a reference of four bytes, unless it is 0 or −1: those name
// nothing.
func (r *references) addUnlessZero(file *pages, offset int64, k kind) bool {
	var data [4]byte
	file.read(data[:], offset)
	if v := binary.LittleEndian.Uint32(data[:]); v != 0 && v != 1<<32-1 {
		r.add(offset, k)
		return true
	}
	return false
}

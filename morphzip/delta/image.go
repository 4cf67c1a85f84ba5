package delta

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// image is an x86-64 ELF file, on its own or within another file (an archive).
type image struct {
	start, end int64 // in the file
	loads      []load
	sections   []section
}

// load is a part of an image's memory. What has no bytes in the file has the
// place where they would be in a file of its own (placeOf).
type load struct {
	address uint64
	offset  int64 // in the file
	filed   int64 // how many of its bytes are in the file
	size    int64 // in memory
}

type section struct {
	name       string
	address    uint64
	start, end int64 // in the file
	code       bool
}

// What is looked at of a hostile file is bounded.
const (
	maxImages   = 256
	maxHeaders  = 64
	maxSections = 128
	maxNames    = 1 << 16
)

var elfMagic = []byte("\x7fELF\x02\x01\x01")

// findImages finds the images in a file, in order.
func findImages(file *pages) []image {
	var images []image
	for offset := int64(0); offset < file.size && len(images) < maxImages; {
		page := file.at(offset)
		if i := bytes.Index(page, elfMagic); i >= 0 {
			if m, ok := readImage(file, offset+int64(i)); ok {
				images = append(images, m)
				offset = m.end
			} else {
				offset += int64(i) + 1
			}
			continue
		}
		// The magic may begin on this page's last bytes.
		tail := max(offset, offset+int64(len(page))-int64(len(elfMagic))+1)
		var across [2 * 8]byte
		n := file.read(across[:2*len(elfMagic)-2], tail)
		if i := bytes.Index(across[:n], elfMagic); i >= 0 {
			if m, ok := readImage(file, tail+int64(i)); ok {
				images = append(images, m)
				offset = m.end
				continue
			}
		}
		offset += int64(len(page))
	}
	return images
}

// readImage reads the headers of the image that begins at start.
func readImage(file *pages, start int64) (image, bool) {
	var header [64]byte
	if file.read(header[:], start) < len(header) {
		return image{}, false
	}
	le := binary.LittleEndian
	const x86, programHeader, sectionHeader = 62, 56, 64
	if le.Uint16(header[18:]) != x86 || le.Uint16(header[54:]) != programHeader {
		return image{}, false
	}
	m := image{start: start, end: start + int64(len(header))}
	inside := func(offset, size uint64) bool {
		return offset <= uint64(file.size-start) && size <= uint64(file.size-start)-offset
	}
	at, count := le.Uint64(header[32:]), int(le.Uint16(header[56:]))
	if count > maxHeaders || !inside(at, uint64(count)*programHeader) {
		return image{}, false
	}
	for i := range count {
		var h [programHeader]byte
		file.read(h[:], start+int64(at)+int64(i)*programHeader)
		const loaded = 1
		offset, address, filed, size := le.Uint64(h[8:]), le.Uint64(h[16:]), le.Uint64(h[32:]), le.Uint64(h[40:])
		if le.Uint32(h[:]) != loaded {
			continue
		}
		if !inside(offset, filed) || size < filed || size > 1<<40 || address > 1<<56 {
			return image{}, false
		}
		m.loads = append(m.loads, load{address: address, offset: start + int64(offset), filed: int64(filed), size: int64(size)})
		m.end = max(m.end, start+int64(offset+filed))
	}
	at, count = le.Uint64(header[40:]), int(le.Uint16(header[60:]))
	if le.Uint16(header[58:]) != sectionHeader || count == 0 || count > maxSections || !inside(at, uint64(count)*sectionHeader) {
		return m, len(m.loads) > 0
	}
	m.end = max(m.end, start+int64(at)+int64(count)*sectionHeader)
	m.readSections(file, at, count, int(le.Uint16(header[62:])), inside)
	return m, len(m.loads) > 0
}

// readSections reads the section headers; the names are in the one of that
// number.
func (m *image) readSections(file *pages, at uint64, count, names int, inside func(offset, size uint64) bool) {
	le := binary.LittleEndian
	headers := make([]byte, count*64)
	file.read(headers, m.start+int64(at))
	var text []byte
	if names < count {
		h := headers[names*64:]
		if offset, size := le.Uint64(h[24:]), le.Uint64(h[32:]); inside(offset, size) && size <= maxNames {
			text = make([]byte, size)
			file.read(text, m.start+int64(offset))
			m.end = max(m.end, m.start+int64(offset+size))
		}
	}
	for ; len(headers) > 0; headers = headers[64:] {
		const empty, noBits, allocated, executed = 0, 8, 2, 4
		kind, flags := le.Uint32(headers[4:]), le.Uint64(headers[8:])
		offset, size := le.Uint64(headers[24:]), le.Uint64(headers[32:])
		if kind == empty || kind == noBits || flags&allocated == 0 || size == 0 || !inside(offset, size) ||
			m.start+int64(offset+size) > m.end {
			continue
		}
		s := section{address: le.Uint64(headers[16:]), start: m.start + int64(offset), code: flags&executed != 0}
		s.end = s.start + int64(size)
		if name := uint64(le.Uint32(headers)); name < uint64(len(text)) {
			s.name, _, _ = strings.Cut(string(text[name:min(name+32, uint64(len(text)))]), "\x00")
		}
		m.sections = append(m.sections, s)
	}
}

// section returns the section of that name, or an empty one.
func (m *image) section(name string) section {
	for _, s := range m.sections {
		if s.name == name {
			return s
		}
	}
	return section{}
}

// inCode says whether a place is code.
func (m *image) inCode(place int64) bool {
	for i := range m.sections {
		if s := &m.sections[i]; s.code && place >= s.start && place < s.end {
			return true
		}
	}
	return false
}

// unfiled is where the places begin of memory that has no bytes in the file.
const unfiled = int64(1) << 57

// placeOf returns where in the file the bytes at an address are, or unfiled plus
// the address.
func (m *image) placeOf(address uint64) (int64, bool) {
	for i := range m.loads {
		l := &m.loads[i]
		if address-l.address < uint64(l.size) {
			if into := int64(address - l.address); into < l.filed {
				return l.offset + into, true
			}
			return unfiled + int64(address), true
		}
	}
	return 0, false
}

// addressOf is the inverse of placeOf.
func (m *image) addressOf(place int64) (uint64, bool) {
	if place >= unfiled {
		return uint64(place - unfiled), true
	}
	for i := range m.loads {
		l := &m.loads[i]
		if into := place - l.offset; into >= 0 && into < l.filed {
			return l.address + uint64(into), true
		}
	}
	return 0, false
}

// containing returns the index of the image with the offset, or −1.
func containing(images []image, offset int64) int {
	for i := range images {
		if offset >= images[i].start && offset < images[i].end {
			return i
		}
	}
	return -1
}

package fat

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// slotSize is the size of a directory's slot: a short entry, or a part of a long
// name.
const slotSize = 32

const (
	slotFree    = 0x00
	slotDeleted = 0xe5

	attrLabel    = 0x08
	attrFolder   = 0x10
	attrLong     = 0x0f
	attrMask     = 0x3f
	attrReserved = 0xc0

	lastLong = 0x40 // of the sequence number of a long name's last part
)

// slot is one of a directory's.
type slot []byte

func (s slot) unused() bool { return s[0] == slotFree || s[0] == slotDeleted }
func (s slot) isLong() bool { return s[11]&attrMask == attrLong }

func (s slot) start(fat32 bool) uint32 {
	start := uint32(binary.LittleEndian.Uint16(s[26:]))
	if fat32 {
		start |= uint32(binary.LittleEndian.Uint16(s[20:])) << 16
	}
	return start
}

func (s slot) setStart(start uint32, fat32 bool) {
	binary.LittleEndian.PutUint16(s[26:], uint16(start))
	if fat32 {
		binary.LittleEndian.PutUint16(s[20:], uint16(start>>16))
	}
}

func (s slot) size() uint32        { return binary.LittleEndian.Uint32(s[28:]) }
func (s slot) setSize(size uint32) { binary.LittleEndian.PutUint32(s[28:], size) }

// sound says that a short entry can be one: garbage hardly can.
func (s slot) sound() bool {
	if s[0] == ' ' || s[11]&attrReserved != 0 {
		return false
	}
	for i, c := range s[:11] {
		if (c < ' ' && (i > 0 || c != 0x05)) || c == 0x7f || strings.IndexByte(`*?<>|":/\`, c) >= 0 {
			return false
		}
	}
	return true
}

// shortName is the name without a long one.
func (s slot) shortName() string {
	base := strings.TrimRight(string(s[:8]), " ")
	if ext := strings.TrimRight(string(s[8:11]), " "); ext != "" {
		base += "." + ext
	}
	if base != "" && base[0] == 0x05 {
		base = "\xe5" + base[1:]
	}
	return base
}

// checksum is what the parts of a long name carry of their short entry.
func (s slot) checksum() byte {
	var sum byte
	for _, c := range s[:11] {
		sum = sum<<7 | sum>>1
		sum += c
	}
	return sum
}

// longName collects the parts of a long name, last part first, as they stand
// before their short entry.
type longName struct {
	offsets  []int64  // of the parts seen
	units    []uint16 // of the name, from the back
	next     byte     // the sequence number that has to come; 0 is complete
	checksum byte
}

// add takes a part. It says whether it belongs to the ones before it.
func (l *longName) add(s slot, offset int64) bool {
	sequence := s[0] &^ lastLong
	switch {
	case len(l.offsets) == 0:
		if s[0]&lastLong == 0 || sequence == 0 || sequence > 20 {
			return false
		}
		l.checksum = s[13]
	case s[0] != l.next || l.next == 0 || s[13] != l.checksum:
		return false
	}
	l.next = sequence - 1
	l.offsets = append(l.offsets, offset)
	part := make([]uint16, 0, 13)
	for _, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		part = append(part, binary.LittleEndian.Uint16(s[at:]))
	}
	l.units = append(part, l.units...)
	return true
}

// of says that the parts are all there and those of a short entry.
func (l *longName) of(s slot) bool {
	return len(l.offsets) > 0 && l.next == 0 && l.checksum == s.checksum()
}

func (l *longName) String() string {
	units := l.units
	for i, u := range units {
		if u == 0 {
			units = units[:i]
			break
		}
	}
	return string(utf16.Decode(units))
}

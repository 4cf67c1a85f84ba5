package delta

import (
	"encoding/binary"
	"slices"
)

// predictor says what the references of the new file's pieces will be, from the
// old file's and where the pieces went.
type predictor struct {
	old    *references
	images []image // the new file's
	// moved are the pieces in the order of the old file, without overlap there.
	moved []piece
	last  int // the index in moved that was used last
	// shifts are where memory without bytes in the file went, in order.
	shifts []shift
	bases  [][kinds]int64 // by image of the old file: where the bases went
}

// shift says that what was at a place from old on is by as many bytes further on,
// up to the next shift.
type shift struct{ old, by int64 }

func newPredictor(old *references, s *plan) *predictor {
	p := &predictor{old: old, images: s.images, moved: invert(s.pieces), shifts: s.shifts}
	p.bases = make([][kinds]int64, len(old.images))
	for i := range old.images {
		for k := fromText; k < kinds; k++ {
			p.bases[i][k] = -1
			if place, ok := old.images[i].placeOf(old.bases[i][k]); ok && place < unfiled {
				p.bases[i][k] = p.move(place)
				if i < len(s.bases) {
					p.bases[i][k] += s.bases[i][k]
				}
			}
		}
	}
	return p
}

// findBases finds out by how much the tables of the new file begin elsewhere than
// its pieces say, and how many functions they have. Images have the same order in
// both files, mostly.
func (s *plan) findBases(old, new *references) {
	p := newPredictor(old, s)
	bases := make([][kinds]int64, len(old.images))
	s.functions = make([]int64, len(old.images))
	for i := range min(len(old.images), len(new.images)) {
		for k := fromText; k < kinds; k++ {
			if place, ok := new.images[i].placeOf(new.bases[i][k]); ok && p.bases[i][k] >= 0 {
				bases[i][k] = place - p.bases[i][k]
			}
		}
		s.functions[i] = new.functions[i]
	}
	s.bases = bases
}

// invert orders pieces by the old file, and leaves each of its bytes to one.
func invert(pieces []piece) []piece {
	moved := slices.Clone(pieces)
	slices.SortFunc(moved, func(a, b piece) int {
		switch {
		case a.old != b.old:
			return int(min(max(a.old-b.old, -1), 1))
		case a.size != b.size:
			return int(min(max(b.size-a.size, -1), 1))
		}
		return int(min(max(a.new-b.new, -1), 1))
	})
	n := 0
	for _, m := range moved {
		if n > 0 {
			last := &moved[n-1]
			if m.old+m.size <= last.old+last.size {
				continue
			}
			if over := last.old + last.size - m.old; over > 0 {
				// What comes behind a change begins with the later piece.
				if last.size > over {
					last.size -= over
				} else {
					m = piece{new: m.new + over, old: m.old + over, size: m.size - over}
				}
			}
		}
		moved[n] = m
		n++
	}
	return moved[:n]
}

// move returns where the place of the old file is in the new one, or −1.
func (p *predictor) move(place int64) int64 {
	if place >= unfiled {
		i, found := slices.BinarySearchFunc(p.shifts, place, func(s shift, place int64) int {
			return int(min(max(s.old-place, -1), 1))
		})
		if !found {
			i--
		}
		if i < 0 {
			return place
		}
		return place + p.shifts[i].by
	}
	if len(p.moved) == 0 {
		return -1
	}
	if m := &p.moved[p.last]; place >= m.old && place < m.old+m.size {
		return place - m.old + m.new
	}
	i, found := slices.BinarySearchFunc(p.moved, place, func(m piece, place int64) int {
		return int(min(max(m.old-place, -1), 1))
	})
	if !found {
		i = max(i-1, 0)
	}
	p.last = i
	return place - p.moved[i].old + p.moved[i].new
}

// reference is one of the old file in its new place.
type reference struct {
	kind      kind
	from, to  int64 // where it was and is
	fromImage int
	toImage   int
	old       uint64 // its value in the old file
	target    int64  // the place that it named there
	predicted uint64
}

// locate fills in the images that a reference was and is in.
func (r *reference) locate(p *predictor) bool {
	r.fromImage = nearby(p.old.images, r.from, r.fromImage)
	r.toImage = nearby(p.images, r.to, r.toImage)
	return r.fromImage >= 0 && r.toImage >= 0
}

// nearby is containing, where the answer is probably the last one.
func nearby(images []image, offset int64, last int) int {
	if last >= 0 && last < len(images) && offset >= images[last].start && offset < images[last].end {
		return last
	}
	return containing(images, offset)
}

// target returns the place that a reference named in the old file.
func (p *predictor) target(r *reference) (int64, bool) {
	m := &p.old.images[r.fromImage]
	switch k := r.kind; {
	case k <= distance4:
		here, ok := m.addressOf(r.from)
		if !ok {
			return 0, false
		}
		return m.placeOf(here + 4 + behind[k] + uint64(int64(int32(r.old))))
	case k.absolute():
		return m.placeOf(r.old)
	}
	return m.placeOf(p.old.bases[r.fromImage][r.kind] + r.old*unitOf(r.kind))
}

// named returns the place that a distance or an address names in the new file.
func (p *predictor) named(r *reference, value uint64) (int64, bool) {
	m := &p.images[r.toImage]
	if r.kind.absolute() {
		return m.placeOf(value)
	}
	here, ok := m.addressOf(r.to)
	if !ok {
		return 0, false
	}
	return m.placeOf(here + 4 + behind[r.kind] + uint64(int64(int32(value))))
}

// predict fills in the target and the value that is expected; it returns false
// for what names nothing.
func (p *predictor) predict(r *reference) bool {
	place, ok := p.target(r)
	if !ok {
		return false
	}
	r.target = place
	n := &p.images[r.toImage]
	address, ok := n.addressOf(p.move(place))
	if !ok {
		return false
	}
	switch k := r.kind; {
	case k <= distance4:
		here, ok := n.addressOf(r.to)
		if !ok {
			return false
		}
		r.predicted = uint64(uint32(address - here - 4 - behind[k]))
	case k.absolute():
		r.predicted = address
	default:
		base, ok := n.addressOf(p.bases[r.fromImage][k])
		if !ok {
			return false
		}
		r.predicted = uint64(uint32((address - base) / unitOf(k)))
	}
	return true
}

// behind is how many bytes of an instruction are behind its distance.
var behind = [kinds]uint64{distance1: 1, distance2: 2, distance4: 4}

func unitOf(k kind) uint64 {
	if k == fromUnits {
		return 4
	}
	return 1
}

// value reads a reference's bytes, and setValue writes them.
func value(data []byte, k kind) uint64 {
	if k.absolute() {
		return binary.LittleEndian.Uint64(data)
	}
	return uint64(binary.LittleEndian.Uint32(data))
}

func setValue(data []byte, k kind, v uint64) {
	if k.absolute() {
		binary.LittleEndian.PutUint64(data, v)
		return
	}
	binary.LittleEndian.PutUint32(data, uint32(v))
}

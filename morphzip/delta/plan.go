package delta

import (
	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/morphzip/mixing"
)

// plan is what a decoder must know of the new file before its bytes: its images,
// its pieces, and where memory without bytes in the file went.
type plan struct {
	images []image
	pieces []piece
	shifts []shift
	// bases are, by image of the old file, how much further than the pieces say
	// the tables' beginnings went.
	bases [][kinds]int64
	// functions are how many functions the new file's images have in their index.
	functions []int64
}

// maxShifts bounds a plan's shifts.
const maxShifts = 1 << 16

// The contexts of a plan's numbers.
const (
	ofCounts = iota
	ofImages
	ofAddresses
	ofSizes
	ofGaps
	ofPieces
	ofMoves
	ofPlaces
	ofShifts
	ofBases
	ofFunctions
	planContexts
)

type planCoder struct {
	coder   *mixing.Coder
	numbers numbers
	bad     bool
}

func (p *planCoder) number(x int64, context int) int64 {
	return int64(p.numbers.code(p.coder, uint64(x), context))
}

func (p *planCoder) signed(x int64, context int) int64 {
	return equations.Unzigzag(p.numbers.code(p.coder, equations.Zigzag(x), context))
}

// below codes a number of at most limit.
func (p *planCoder) below(x, limit int64, context int) int64 {
	x = p.number(x, context)
	if x < 0 || x > limit {
		p.bad = true
		return 0
	}
	return x
}

// encodePlan codes a plan; old are the old file's references.
func encodePlan(s *plan, old *references, oldSize, newSize int64) []byte {
	p := &planCoder{coder: mixing.NewEncoder(nil), numbers: newNumbers(planContexts)}
	p.code(s, old, oldSize, newSize)
	return p.coder.Finish()
}

// decodePlan decodes a plan, and checks it.
func decodePlan(coded []byte, old *references, oldSize, newSize int64) (*plan, error) {
	p := &planCoder{coder: mixing.NewDecoder(coded), numbers: newNumbers(planContexts)}
	s := &plan{}
	p.code(s, old, oldSize, newSize)
	if p.bad {
		return nil, ErrCorrupt
	}
	return s, p.coder.Err()
}

// code codes a plan or, in a decoder, fills it in.
func (p *planCoder) code(s *plan, old *references, oldSize, newSize int64) {
	decoding := p.coder.Decoding()
	n := int(p.below(int64(len(s.images)), maxImages, ofCounts))
	var end int64
	for i := 0; i < n && !p.bad; i++ {
		var m, like image
		if !decoding {
			m = s.images[i]
		}
		if i < len(old.images) {
			like = old.images[i]
		}
		p.image(&m, like, end, newSize)
		end = m.end
		if decoding {
			s.images = append(s.images, m)
		}
	}
	n = int(p.below(int64(len(s.pieces)), maxPieces, ofCounts))
	var last piece
	for i := 0; i < n && !p.bad; i++ {
		var m piece
		if !decoding {
			m = s.pieces[i]
		}
		at := last.new + last.size
		gap := p.below(m.new-at, newSize-at, ofGaps)
		m.new = at + gap
		m.old = last.old + last.size + gap + p.signed(m.old-last.old-last.size-gap, ofMoves)
		m.size = p.below(m.size, newSize-m.new, ofPieces)
		if m.size == 0 || m.old < 0 || m.old > oldSize || m.size > oldSize-m.old || p.coder.Err() != nil {
			p.bad = true
			return
		}
		if decoding {
			s.pieces = append(s.pieces, m)
		}
		last = m
	}
	n = int(p.below(int64(len(s.shifts)), maxShifts, ofCounts))
	previous := shift{old: unfiled}
	for i := 0; i < n && !p.bad; i++ {
		var m shift
		if !decoding {
			m = s.shifts[i]
		}
		m.old = previous.old + p.below(m.old-previous.old, 1<<57, ofPlaces)
		m.by = previous.by + p.signed(m.by-previous.by, ofShifts)
		if m.old < unfiled || m.by > 1<<57 || m.by < -1<<57 || p.coder.Err() != nil {
			p.bad = true
			return
		}
		if decoding {
			s.shifts = append(s.shifts, m)
		}
		previous = m
	}
	if decoding {
		s.bases, s.functions = make([][kinds]int64, len(old.images)), make([]int64, len(old.images))
	}
	for i := range s.bases {
		for k := fromText; k < kinds; k++ {
			by := p.signed(s.bases[i][k], ofBases)
			if by > newSize || by < -newSize {
				p.bad = true
			}
			s.bases[i][k] = by
		}
		s.functions[i] = p.near(s.functions[i], old.functions[i], newSize, ofFunctions)
	}
}

// image codes where an image is; like is what it is probably like, and end where
// the one before ended.
func (p *planCoder) image(m *image, like image, end, newSize int64) {
	m.start = end + p.below(m.start-end, newSize-end, ofImages)
	m.end = m.start + p.near(m.end-m.start, like.end-like.start, newSize-m.start, ofSizes)
	n := int(p.below(int64(len(m.loads)), maxHeaders, ofCounts))
	if p.coder.Decoding() {
		m.loads = make([]load, n)
	}
	for i := range m.loads {
		var was load
		if i < len(like.loads) {
			was = like.loads[i]
		}
		l := &m.loads[i]
		l.address = uint64(p.near(int64(l.address), int64(was.address), 1<<57, ofAddresses))
		l.offset = m.start + p.near(l.offset-m.start, was.offset-like.start, newSize-m.start, ofSizes)
		l.filed = p.near(l.filed, was.filed, newSize-l.offset, ofSizes)
		l.size = p.near(l.size, was.size, 1<<41, ofSizes)
		if l.size < l.filed {
			p.bad = true
		}
	}
}

// near codes a number of at most limit by its difference from another.
func (p *planCoder) near(x, like, limit int64, context int) int64 {
	x = like + p.signed(x-like, context)
	if x < 0 || x > limit {
		p.bad = true
		return 0
	}
	return x
}

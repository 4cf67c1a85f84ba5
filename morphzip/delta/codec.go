package delta

import (
	"math/bits"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/morphzip/mixing"
)

// codec codes the new file's bytes, given the old one's and the pieces: in an
// encoder they are known, in a decoder they come out. What it learns goes on from
// section to section.
type codec struct {
	old       *pages
	predictor *predictor
	decoding  bool
	err       error

	// Three streams of a section: which references are not as predicted, which
	// other bytes of pieces differ, and the bytes that are in no piece.
	references, differences, literals *mixing.Coder

	hits      flags
	recent    [kinds][recentDeltas]int64
	ranks     flags
	deltas    numbers
	history   [kinds]uint8
	learned   []lesson // made when it is needed
	gaps      numbers
	lastGap   int
	gap       uint64 // bytes until one differs: so far in an encoder, to come in a decoder
	wrong     *symbols
	lastWrong [2]byte
	inserted  *symbols
	buckets   []*buckets
	tail      [8]byte // the last bytes of the new file so far
}

const recentDeltas = 8

// lesson is by how much the prediction was wrong for references to a place.
type lesson struct{ place, delta int64 }

const lessonBits = 15

func newCodec(old *pages, p *predictor, s *plan, decoding bool) *codec {
	return &codec{
		old: old, predictor: p, decoding: decoding, buckets: p.findBuckets(s),
		hits: newFlags(int(kinds) << 6), ranks: newFlags(int(kinds) << 4), deltas: newNumbers(int(kinds)),
		gaps:  newNumbers(16),
		wrong: newSymbols(5), inserted: newSymbols(5),
	}
}

// begin begins a section; a decoder is given its streams.
func (x *codec) begin(references, differences, literals []byte) {
	if x.decoding {
		x.references, x.differences, x.literals = mixing.NewDecoder(references), mixing.NewDecoder(differences), mixing.NewDecoder(literals)
		x.codeGap()
		return
	}
	x.references, x.differences, x.literals = mixing.NewEncoder(nil), mixing.NewEncoder(nil), mixing.NewEncoder(nil)
	x.gap = 0
}

// finish ends an encoder's section.
func (x *codec) finish() (references, differences, literals []byte) {
	x.codeGap()
	return x.references.Finish(), x.differences.Finish(), x.literals.Finish()
}

// failed returns what was wrong with a decoder's section.
func (x *codec) failed() error {
	for _, c := range []*mixing.Coder{x.references, x.differences, x.literals} {
		if err := c.Err(); err != nil {
			return err
		}
	}
	return x.err
}

func (x *codec) codeGap() {
	gap := x.gaps.code(x.differences, x.gap, x.lastGap)
	x.lastGap = min(bits.Len64(gap), 15)
	if x.decoding {
		x.gap = gap
	} else {
		x.gap = 0
	}
}

// insert codes bytes that are in no piece.
func (x *codec) insert(data []byte) {
	for i := range data {
		t := &x.tail
		b := x.inserted.code(x.literals, data[i],
			uint32(t[7]), uint32(t[7])|uint32(t[6])<<8, uint32(t[7])|uint32(t[6])<<8|uint32(t[5])<<16,
			uint32(t[7])|uint32(t[6])<<8|uint32(t[5])<<16|uint32(t[4])<<24, 0)
		data[i] = b
		x.seen(b)
	}
}

// see takes note of bytes that other bytes follow from.
func (x *codec) see(data []byte, at int64) {
	for _, b := range x.buckets {
		b.see(data, at)
	}
}

func (x *codec) seen(b byte) {
	copy(x.tail[:], x.tail[1:])
	x.tail[7] = b
}

// copy codes the bytes of a piece, or of a part that cuts no reference: data are
// at to, and were at from.
func (x *codec) copy(data []byte, from, to int64, scratch []byte) {
	was := scratch[:len(data)]
	x.old.read(was, from)
	for _, b := range x.buckets {
		b.foretell(was, to)
	}
	defer x.see(data, to)
	c := x.predictor.old.from(from)
	r := reference{fromImage: -1, toImage: -1}
	for done := 0; ; {
		at, k, ok := c.next()
		plain := len(data) - done
		if ok = ok && at+k.size() <= from+int64(len(data)); ok {
			plain = int(at-from) - done
		}
		x.compare(data[done:done+plain], was[done:])
		done += plain
		if !ok {
			return
		}
		size := int(k.size())
		r.kind, r.from, r.to, r.old = k, at, to+int64(done), value(was[done:], k)
		x.refer(data[done:done+size], &r)
		done += size
	}
}

// cutsReference says by how many bytes a part of the old file that ends at an
// offset must be shorter not to cut a reference.
func (x *codec) cutsReference(end int64) int64 {
	c := x.predictor.old.from(end - 7)
	for {
		at, k, ok := c.next()
		if !ok || at >= end {
			return 0
		}
		if at+k.size() > end {
			return end - at
		}
	}
}

// refer codes a reference.
func (x *codec) refer(data []byte, r *reference) {
	known := r.locate(x.predictor) && x.predictor.predict(r)
	if !known {
		r.predicted, r.target = r.old, -1
	}
	k := r.kind
	context := int(k)<<6 | int(x.history[k]&7)<<2
	var l *lesson
	if known {
		context |= 1
		if x.learned == nil {
			x.learned = make([]lesson, 1<<lessonBits)
		}
		l = &x.learned[uint64(r.target)*prime>>(64-lessonBits)]
		if k != fromUnits && l.place == r.target+1 {
			r.predicted += uint64(l.delta)
			context |= 2
		}
	}
	var delta int64
	miss := 0
	if !x.decoding {
		delta = int64(value(data, k) - r.predicted)
		if !k.absolute() {
			delta = int64(int32(delta))
		}
		if delta != 0 {
			miss = 1
		}
	}
	miss = x.hits.code(x.references, miss, context)
	x.history[k] = x.history[k]<<1 | uint8(miss)
	if miss != 0 {
		delta = x.codeDelta(delta, k)
		if known && k != fromUnits {
			if l.place == r.target+1 {
				l.delta += delta
			} else {
				*l = lesson{place: r.target + 1, delta: delta}
			}
		}
	} else {
		delta = 0
	}
	if x.decoding {
		setValue(data, k, r.predicted+uint64(delta))
	}
	copy(x.tail[:4], x.tail[4:])
	copy(x.tail[4:], data[:4])
}

// codeDelta codes by how much a prediction was wrong: as one of those before, or
// by itself.
func (x *codec) codeDelta(delta int64, k kind) int64 {
	recent := &x.recent[k]
	rank := 0
	for rank < recentDeltas && recent[rank] != delta {
		rank++
	}
	node := 1
	for i := 3; i >= 0; i-- {
		node = node<<1 | x.ranks.code(x.references, rank>>i&1, int(k)<<4|node)
	}
	rank = min(node&15, recentDeltas)
	if rank == recentDeltas {
		delta = equations.Unzigzag(x.deltas.code(x.references, equations.Zigzag(delta), int(k)))
		rank--
	} else {
		delta = recent[rank]
	}
	copy(recent[1:rank+1], recent[:rank])
	recent[0] = delta
	return delta
}

// compare codes bytes that are equal to those in the old file, but for a few.
func (x *codec) compare(data, was []byte) {
	for i := 0; i < len(data); {
		if x.decoding {
			n := int(min(x.gap, uint64(len(data)-i)))
			copy(data[i:], was[i:i+n])
			x.gap -= uint64(n)
			i += n
		} else {
			n := i
			for i < len(data) && data[i] == was[i] {
				i++
			}
			x.gap += uint64(i - n)
		}
		if i == len(data) {
			break
		}
		var before [2]byte
		switch {
		case i > 1:
			before = [2]byte(data[i-2 : i])
		case i == 1:
			before = [2]byte{x.tail[7], data[0]}
		default:
			before = [2]byte(x.tail[6:])
		}
		if !x.decoding {
			x.codeGap()
		}
		data[i] = x.wrongByte(data[i], was[i], before)
		if x.decoding {
			x.codeGap()
		}
		i++
	}
	for _, b := range data[max(len(data)-8, 0):] {
		x.seen(b)
	}
}

// wrongByte codes the byte that is in place of another.
func (x *codec) wrongByte(b, was byte, before [2]byte) byte {
	gap := uint32(min(x.lastGap, 4)) << 28
	last := uint32(x.lastWrong[0])
	b = x.wrong.code(x.differences, b,
		uint32(was)|gap, uint32(was)|uint32(before[1])<<8|gap, uint32(was)|last<<8|uint32(x.lastWrong[1])<<16,
		uint32(before[1])|uint32(before[0])<<8, uint32(was+x.lastWrong[0])|last<<8)
	x.lastWrong[1] = x.lastWrong[0]
	x.lastWrong[0] = b - was
	return b
}

// size is how many bytes an encoder's section has so far, apart from literals.
func (x *codec) size() int { return x.references.Len() + x.differences.Len() }

package delta

import "encoding/binary"

// piece says that the bytes of the new file from new on are like those of the
// old one from old on.
type piece struct{ new, old, size int64 }

const (
	// anchor is how many bytes are looked for at once.
	anchor = 32
	// minStride is how far apart the old file's anchors are, at least; the
	// number of anchors is bounded.
	minStride  = 16
	anchorBits = 22
	maxAnchors = 1 << (anchorBits - 1)
	maxPieces  = 1 << 19
	// maxChain is how many anchors of the same hash are tried.
	maxChain = 8
	// similar is how many of an anchor's bytes are equal where a piece goes on.
	similar = 20
	// maxReach is how far a piece is drawn out over bytes that differ.
	maxReach = 1 << 16
)

// aligner finds which parts of two files are like each other. It compares them
// with their references blanked out: those differ as soon as something moves.
type aligner struct {
	old, new *pages
	stride   int64
	// heads has by hash, and chain by anchor, the number plus one of the last
	// anchor (before it) with that hash, and some more of its hash above.
	heads, chain []uint32
	shift        uint
	pieces       []piece
}

// prime is the rolling hash's multiplier (Karp and Rabin 1987, modulo 2^64);
// leaving is prime^anchor, which takes a byte out again.
const prime = 0x9E3779B97F4A7C15

var leaving = func() uint64 {
	p := uint64(1)
	for range anchor {
		p *= prime
	}
	return p
}()

func hashOf(data []byte) uint64 {
	var h uint64
	for _, b := range data {
		h = h*prime + uint64(b) + 1
	}
	return h
}

// slot returns where in heads a hash is, and the part of it that entries have.
func (a *aligner) slot(hash uint64) (slot uint64, check uint32) {
	hash = (hash ^ hash>>29) * 0xBF58476D1CE4E5B9
	return hash >> a.shift, uint32(hash) << anchorBits
}

// align returns the pieces in the order of the new file, without overlap there.
func align(old, new *pages) []piece {
	a := &aligner{old: old, new: new, stride: minStride}
	for old.size/a.stride > maxAnchors {
		a.stride *= 2
	}
	bits := uint(8)
	for int64(2)<<bits < old.size/a.stride {
		bits++
	}
	a.shift = 64 - bits
	a.heads = make([]uint32, 1<<bits)
	a.chain = make([]uint32, old.size/a.stride+1)
	a.index()
	a.walk()
	return a.pieces
}

// index takes up the old file's anchors, but those of one byte alone.
func (a *aligner) index() {
	var data [anchor]byte
	for i := range a.chain {
		at := int64(i) * a.stride
		block := a.old.at(at)
		if len(block) < anchor {
			if a.old.read(data[:], at) < anchor {
				return
			}
			block = data[:]
		}
		block = block[:anchor]
		if plain(block) {
			continue
		}
		slot, check := a.slot(hashOf(block))
		a.chain[i] = a.heads[slot]
		a.heads[slot] = uint32(i) + 1 | check
	}
}

// plain says whether an anchor says too little to be looked for.
func plain(block []byte) bool {
	first := binary.LittleEndian.Uint64(block)
	for i := 8; i < anchor; i += 8 {
		if binary.LittleEndian.Uint64(block[i:]) != first {
			return false
		}
	}
	return true
}

// walk goes through the new file, and follows one piece until it is like the old
// file no more and another is.
func (a *aligner) walk() {
	current := piece{size: -1}
	if n := a.likeness(0, 0); n >= similar {
		current = piece{}
	}
	// good is the end of what is known to be like the old file.
	var at, good int64
	for at < a.new.size && len(a.pieces) < maxPieces {
		if current.size >= 0 {
			at += a.new.common(at, a.old, current.old+at-current.new, a.new.size-at)
			good = at
			if at >= a.new.size {
				break
			}
			if at-current.new+current.old < a.old.size && a.likeness(at, current.old+at-current.new) >= similar {
				at++
				continue
			}
		}
		next, ok := a.search(at, current)
		if !ok {
			break
		}
		if current.size >= 0 && next.new-next.old == current.new-current.old {
			// The piece goes on after bytes that differ.
			at = next.new
			continue
		}
		a.turn(&current, &next, good)
		current = next
		at = next.new + next.size
		good = at
	}
	if current.size >= 0 {
		current.size = a.reach(good, current.old+good-current.new, a.new.size) - current.new
		a.add(current)
	}
}

func (a *aligner) add(p piece) {
	if p.size > 0 {
		a.pieces = append(a.pieces, p)
	}
}

// likeness is how many of an anchor's bytes at both places are equal.
func (a *aligner) likeness(at, old int64) int {
	if old < 0 {
		return 0
	}
	var p, q [anchor]byte
	n := min(a.new.read(p[:], at), a.old.read(q[:], old))
	equal := 0
	for i := range n {
		if p[i] == q[i] {
			equal++
		}
	}
	if at+int64(n) == a.new.size {
		equal += anchor - n
	}
	return equal
}

// search looks from at on for the next place that is like the old file: where
// the current piece goes on, or another begins.
func (a *aligner) search(at int64, current piece) (piece, bool) {
	var hash uint64
	var data [anchor]byte
	if a.new.read(data[:], at) < anchor {
		return piece{}, false
	}
	hash = hashOf(data[:])
	if next, ok := a.besides(at, current); ok {
		return next, true
	}
	for {
		if current.size >= 0 {
			// Alike again: but not by the zeros of a gap alone.
			old := current.old + at - current.new
			if old < a.old.size && a.new.byteAt(at) == a.old.byteAt(old) && a.likeness(at, old) >= anchor-2 {
				return piece{new: at, old: old}, true
			}
		}
		if best, ok := a.lookUp(hash, at, current); ok {
			return best, true
		}
		if at+anchor >= a.new.size {
			return piece{}, false
		}
		hash = hash*prime + uint64(a.new.byteAt(at+anchor)) + 1 - leaving*(uint64(a.new.byteAt(at))+1)
		at++
	}
}

// besides looks for where the current piece goes on a few bytes further on or
// back, as it does behind what was put in or taken out.
func (a *aligner) besides(at int64, current piece) (best piece, ok bool) {
	if current.size < 0 {
		return best, false
	}
	const near, least, long = 64, 256, 4096
	old := current.old + at - current.new
	for i := int64(1); i <= 2*near; i++ {
		by := (i + 1) / 2
		if i&1 == 0 {
			by = -by
		}
		if old+by < 0 || a.new.common(at, a.old, old+by, 8) < 8 {
			continue
		}
		if n := a.new.common(at, a.old, old+by, long); n >= least && n > best.size {
			best = piece{new: at, old: old + by, size: n}
		}
	}
	return best, best.size > 0
}

// lookUp returns the longest equal stretch that begins at an anchor with the
// hash; of equally long ones, that nearest to where the current piece is.
func (a *aligner) lookUp(hash uint64, at int64, current piece) (best piece, ok bool) {
	slot, check := a.slot(hash)
	entry := a.heads[slot]
	const long = 4096
	expected := at
	if current.size >= 0 {
		expected = current.old + at - current.new
	}
	for tries := 0; entry != 0 && tries < maxChain; tries++ {
		number := entry&(1<<anchorBits-1) - 1
		alike := entry&^(1<<anchorBits-1) == check
		entry = a.chain[number]
		if !alike {
			continue
		}
		old := int64(number) * a.stride
		n := a.new.common(at, a.old, old, long)
		if n < anchor || n < best.size {
			continue
		}
		if n > best.size || distance(old, expected) < distance(best.old, expected) {
			best = piece{new: at, old: old, size: n}
		}
	}
	return best, best.size >= anchor
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

// turn ends the current piece, and draws the next one out to the front. Between
// good and the next one each byte goes where it fits better (Percival, "Naive
// differences of executable code", 2003).
func (a *aligner) turn(current, next *piece, good int64) {
	end := good
	if current.size >= 0 {
		end = a.reach(good, current.old+good-current.new, next.new)
	}
	begin := a.reachBack(next, max(current.new, good-maxReach))
	if current.size >= 0 && begin < end {
		// Both claim [begin,end): the split that leaves the most bytes equal; of
		// those the first, as what follows a change begins with it.
		score, best, split := 0, 0, begin
		for i := begin; i < end; i++ {
			b := a.new.byteAt(i)
			if b == a.old.byteAt(current.old+i-current.new) {
				score++
			}
			if b == a.old.byteAt(next.old+i-next.new) {
				score--
			}
			if score > best {
				best, split = score, i+1
			}
		}
		begin, end = split, split
	}
	if current.size >= 0 {
		current.size = end - current.new
		a.add(*current)
	}
	back := next.new - begin
	*next = piece{new: begin, old: next.old - back, size: next.size + back}
}

// reach returns how far behind at the files are more alike than not.
func (a *aligner) reach(at, old, limit int64) int64 {
	limit = min(limit, at+maxReach, at+a.old.size-old)
	score, best, end := 0, 0, at
	for i := at; i < limit; i++ {
		if a.new.byteAt(i) == a.old.byteAt(old+i-at) {
			score++
		} else {
			score--
		}
		if score > best {
			best, end = score, i+1
		}
		if score < best-64 {
			break
		}
	}
	return end
}

// reachBack is reach, before the next piece.
func (a *aligner) reachBack(next *piece, limit int64) int64 {
	limit = max(limit, next.new-maxReach, next.new-next.old)
	score, best, begin := 0, 0, next.new
	for i := next.new - 1; i >= limit; i-- {
		if a.new.byteAt(i) == a.old.byteAt(next.old+i-next.new) {
			score++
		} else {
			score--
		}
		if score > best {
			best, begin = score, i
		}
		if score < best-64 {
			break
		}
	}
	return begin
}

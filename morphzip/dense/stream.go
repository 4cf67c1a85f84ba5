package dense

import (
	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/morphzip/mixing"
)

// transform is how a stream's values become the numbers that are coded.
type transform uint8

const (
	// constant streams have one value, which the header tells.
	constant transform = iota
	// plain streams code the values.
	plain
	// delta streams code the difference to the value before.
	delta
	// delta2 streams code how that difference changes.
	delta2
	// versus streams code the difference to the latest value of another stream.
	versus
	// drift streams code how that difference changes.
	drift
	// index streams are indices into a dictionary in order of first occurrence:
	// 0 stands for the next new one.
	index
	// silent streams are not coded: their values follow from what is.
	silent
	// listed streams are indices, as those of index streams, into a list of the
	// values so far, and new values in plain.
	listed

	transforms
)

// term is a part of a context: a kind and the streams it speaks of.
type term struct {
	kind kind
	a, b uint16
}

type kind uint8

const (
	none     kind = iota
	latest        // the latest value of stream a
	earlier       // the value of stream a before the latest
	residual      // the number coded last in stream a
	place         // the template and slot of the value to come
	recall        // the value that stream b had last when stream a had the value it has now
)

// context is what up to three terms say together.
type context [3]term

// plan is what the header tells of a stream.
type plan struct {
	transform transform
	own       bool   // has a model of its own
	versus    int    // a stream
	copied    int    // a stream whose latest value is expected, or −1
	base      uint64 // a constant stream's value
	contexts  []context
	textFrom  int  // a stream whose latest text is expected, or −1
	quoted    bool // as Go quotes the bytes that it is in hexadecimal
	digits    digits
}

// stream is a sequence of numbers: the templates of the rows, the values of a
// column, their widths.
type stream struct {
	plan
	id       uint32
	rows     bool // templates
	model    *mixing.Model
	count    uint64            // of an index stream: entries so far
	value    uint64            // the latest
	before   uint64            // the one before
	residual uint64            // the number coded last
	versed   uint64            // the value of the stream versus, then
	hits     int               // how often the copied stream was right, of late
	recalls  []*recalled       // to bring up to date
	same     uint32            // whether the latest texts were those hoped for, a bit each
	list     []uint64          // of a listed stream
	listed   map[uint64]uint64 // the encoder's inverse of list
	leaf     *leaf             // whose texts the values stand for; nil for other streams
}

// text returns the text of the latest value: nil where it has none.
func (s *stream) text() []byte {
	if s.leaf == nil || s.leaf.inner != nil {
		return nil
	}
	i := s.value
	if s.transform == silent {
		i = uint64(s.leaf.known) - 1
	}
	if i >= uint64(s.leaf.known) {
		return nil
	}
	return s.leaf.column.Dictionary.At(int(i))
}

// recalled holds the values that stream b had when stream a had another value,
// by the other value's hash.
type recalled struct {
	a, b   uint16
	values [1 << 12]uint32
}

func (r *recalled) at(a uint64) *uint32 { return &r.values[fold(a)*0x9E3779B1>>20] }

// fold makes a value 32 bits wide.
func fold(v uint64) uint32 { return uint32(v) ^ uint32(v>>32)*0x85EBCA6B }

// predict returns what the transform of the stream subtracts.
func (w *walker) predict(s *stream) uint64 {
	switch s.transform {
	case delta:
		return s.value
	case delta2:
		return 2*s.value - s.before
	case versus:
		return w.streams[s.versus].value
	case drift:
		return w.streams[s.versus].value + s.value - s.versed
	}
	return 0
}

// reduce returns the number to code for a value.
func (t transform) reduce(value, predicted, count uint64) uint64 {
	switch t {
	case plain:
		return value
	case index:
		if value >= count {
			return 0
		}
		return value + 1
	}
	return equations.Zigzag(int64(value - predicted))
}

// restore is the inverse of reduce.
func (t transform) restore(number, predicted, count uint64) uint64 {
	switch t {
	case plain:
		return number
	case index:
		if number == 0 {
			return count
		}
		return number - 1
	}
	return uint64(equations.Unzigzag(number)) + predicted
}

// term returns what a term says now.
func (w *walker) term(t term) uint32 {
	switch t.kind {
	case latest:
		return fold(w.streams[t.a].value)
	case earlier:
		return fold(w.streams[t.a].before)
	case residual:
		return fold(w.streams[t.a].residual)
	case place:
		return w.place
	case recall:
		return *w.recalled(t.a, t.b).at(w.streams[t.a].value)
	}
	return 0
}

// recalled returns the memory of a pair of streams; it makes it where there is none.
func (w *walker) recalled(a, b uint16) *recalled {
	for _, r := range w.streams[b].recalls {
		if r.a == a {
			return r
		}
	}
	r := &recalled{a: a, b: b}
	w.recalls++
	w.streams[b].recalls = append(w.streams[b].recalls, r)
	return r
}

// code codes the next value of a stream, or decodes one, and returns it.
func (w *walker) code(s *stream, value uint64) uint64 {
	switch s.transform {
	case constant:
		value = s.base
	case silent:
	default:
		value = w.codeNumber(s, value)
	}
	s.before, s.value = s.value, value
	for _, r := range s.recalls {
		*r.at(w.streams[r.a].value) = fold(value)
	}
	return value
}

// codeNumber codes a value of a stream that has a model.
func (w *walker) codeNumber(s *stream, value uint64) uint64 {
	if s.transform == listed {
		return w.codeListed(s, value)
	}
	predicted := w.predict(s)
	number, copied := uint64(0), uint64(0)
	if s.copied >= 0 {
		copied = s.transform.reduce(w.streams[s.copied].value, predicted, s.count)
	}
	number = w.codeReduced(s, s.transform.reduce(value, predicted, s.count), copied)
	value = s.transform.restore(number, predicted, s.count)
	if s.transform == index && value == s.count {
		s.count++
	}
	if s.transform == drift {
		s.versed = w.streams[s.versus].value
	}
	return value
}

// codeListed codes a value of a listed stream.
func (w *walker) codeListed(s *stream, value uint64) uint64 {
	copied := uint64(0)
	if s.copied >= 0 {
		copied = s.position(w.streams[s.copied].value)
	}
	number := w.codeReduced(s, s.position(value), copied)
	if number > 0 {
		if number > s.count {
			w.failed = corrupt("value of no list")
			return 0
		}
		return s.list[number-1]
	}
	value = w.meta(metaListed, value)
	if s.count < maxListed {
		if err := w.spend(listBytes); err != nil {
			w.failed = err
			return 0
		}
		s.list = append(s.list, value)
		s.count++
		if s.listed == nil {
			s.listed = map[uint64]uint64{}
		}
		s.listed[value] = s.count
	}
	return value
}

// maxListed is how long the list of a listed stream grows.
const maxListed = 1 << 13

// position returns where in its list a stream has the value, counted from 1; 0
// is nowhere.
func (s *stream) position(value uint64) uint64 { return s.listed[value] }

// codeSame codes whether a text is the one hoped for.
func (w *walker) codeSame(s *stream, same uint64) bool {
	m := w.numbers
	for i := range defaultContexts {
		m.Hash[i] = mixing.Hash(metaSame<<8|uint32(i), s.id*uint32(i&1)+s.same&(1<<(i>>1*4)-1)*977)
	}
	m.Expect(0, 0, 0)
	m.Expect(1, 0, 0)
	m.Set = 1
	same = m.Number(w.c, same, [mixing.Expectations]uint64{})
	s.same = s.same<<1 | uint32(same&1)
	return same == 1
}

// codeReduced codes a number that a value was reduced to; copied is the one that
// the copied stream's value would be.
func (w *walker) codeReduced(s *stream, number, copied uint64) uint64 {
	m := s.model
	m.Set = 0
	for i := range s.contexts {
		h := s.id<<8 | uint32(i)
		for _, t := range s.contexts[i] {
			if t.kind == none {
				break
			}
			h = mixing.Hash(h, w.term(t))
		}
		m.Hash[i] = mixing.Hash(h, 0)
	}
	m.Expect(0, 0, 0)
	m.Expect(1, 0, 0)
	if s.copied >= 0 {
		m.Expect(0, 0, s.hits+1)
	}
	number = m.Number(w.c, number, [mixing.Expectations]uint64{copied})
	if s.copied >= 0 {
		if number == copied {
			s.hits = min(s.hits+1, 40)
		} else {
			s.hits /= 4
		}
	}
	s.residual = number
	return number
}

package dense

import (
	"bytes"

	"github.com/entroos/entroos/morphzip/logline"
	"github.com/entroos/entroos/morphzip/mixing"
)

// textContexts is how many contexts a byte of text is predicted from.
const textContexts = 9

// text codes texts: entries of dictionaries, and the templates' literals.
type text struct {
	model   *mixing.Model
	match   *mixing.Match
	history []byte // all texts so far, each with a '\n' after it
	hope    hope
	state   state
}

func newText(slots *mixing.Slots, bits int) *text {
	return &text{model: mixing.NewByteModel(slots, textContexts, 12), match: mixing.NewMatch(bits, 5)}
}

// literal codes a text without '\n' of which nothing is known but its nature.
func (x *text) literal(w *walker, nature uint32, b []byte) ([]byte, error) {
	x.hope.reset(nil, false)
	return x.line(w, nature, b)
}

// entry codes an entry of a stream's dictionary, which its latest value is.
func (x *text) entry(w *walker, s *stream, t logline.Type, b []byte) ([]byte, error) {
	var from []byte
	if s.textFrom >= 0 {
		from = w.streams[s.textFrom].text()
	}
	x.hope.reset(from, s.quoted)
	if hoped, ok := x.hope.all(); ok && (t != logline.Digest && t != logline.UUID || !s.quoted) &&
		(t != logline.UUID || len(hoped) == 16) {
		same := uint64(0)
		if bytes.Equal(hoped, b) {
			same = 1
		}
		if w.codeSame(s, same) {
			return hoped, nil
		}
		x.hope.reset(from, s.quoted)
	}
	if s.digits != noDigits {
		if random, ok, err := x.random(w, s, t, b); ok || err != nil {
			return random, err
		}
	}
	if t != logline.Digest && t != logline.UUID {
		return x.line(w, s.id+natures, b)
	}
	n := uint64(16)
	if t == logline.Digest {
		n = w.meta(metaDigest, uint64(len(b)))
	}
	if n > uint64(w.letters) {
		return nil, corrupt("digest longer than the block")
	}
	w.letters -= int(n)
	start := len(x.history)
	x.begin()
	for i := range int(n) {
		var symbol byte
		if i < len(b) {
			symbol = b[i]
		}
		x.byte(w, s.id+natures, start, symbol)
	}
	end := len(x.history)
	x.history = append(x.history, '\n')
	return x.history[start:end], nil
}

// line codes bytes up to a '\n', which ends them.
func (x *text) line(w *walker, nature uint32, b []byte) ([]byte, error) {
	start := len(x.history)
	x.begin()
	for i := 0; ; i++ {
		symbol := byte('\n')
		if i < len(b) {
			if symbol = b[i]; symbol == '\n' {
				return nil, errUnfit
			}
		}
		if x.byte(w, nature, start, symbol) == '\n' {
			break
		}
		if len(x.history)-start > w.letters {
			return nil, corrupt("text longer than the block")
		}
	}
	w.letters -= len(x.history) - start
	return x.history[start : len(x.history)-1], nil
}

// state is what the contexts of a byte are made from.
type state struct {
	last   uint64 // the bytes before
	prefix uint32 // hash of the text so far
	word   uint32 // hash of the letters and digits before
	before uint32 // hash of the word before that
	shape  uint32 // the classes of the bytes before
}

// byte codes the next byte of a text that began at start of the history.
func (x *text) byte(w *walker, nature uint32, start int, symbol byte) byte {
	m, st := x.model, &x.state
	h := uint32(st.last)
	at := uint32(min(len(x.history)-start, 255))
	n := nature << 4
	m.Hash[0] = mixing.Hash(n|1, h&0xff)
	m.Hash[1] = mixing.Hash(n|2, h&0xffff)
	m.Hash[2] = mixing.Hash(3, h&0xffffff)
	m.Hash[3] = mixing.Hash(4, h)
	m.Hash[4] = mixing.Hash(h+5, uint32(st.last>>32)&0xffff)
	m.Hash[5] = mixing.Hash(n|6, st.prefix)
	m.Hash[6] = mixing.Hash(st.word+7, h&0xff)
	m.Hash[7] = mixing.Hash(n|8, at<<8|st.shape&0xff)
	m.Hash[8] = mixing.Hash(st.word+9, st.before)
	want, length := x.match.Find(x.history)
	m.Expect(0, int(want), min(length, 15)+min(length>>4, 48))
	hoped, strength := x.hope.next()
	m.Expect(1, int(hoped), strength)
	m.Refine = h & 0xff
	symbol = m.Byte(w.c, symbol)
	x.hope.saw(symbol)
	x.history = append(x.history, symbol)
	st.last = st.last<<8 | uint64(symbol)
	st.prefix = mixing.Hash(st.prefix, uint32(symbol))
	class := classOf(symbol)
	st.shape = st.shape<<2 | class
	if class == 0 || class == 3 {
		if st.word != 0 {
			st.before, st.word = st.word, 0
		}
	} else {
		st.word = mixing.Hash(st.word, uint32(symbol))
	}
	return symbol
}

// begin makes the state that of a text's begin.
func (x *text) begin() { x.state = state{} }

// classOf tells letters, digits and others apart.
func classOf(b byte) uint32 {
	switch {
	case b-'0' < 10:
		return 1
	case b|32 >= 'a' && b|32 <= 'z' || b >= 128:
		return 2
	case b == ' ':
		return 3
	}
	return 0
}

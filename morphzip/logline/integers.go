package logline

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// The codings of integers.
const (
	intsConstant = iota // all the same
	intsFew             // varints in the head
	intsPacked          // a minimum and as many bits for each
	intsTokens          // tokens and bits, see tokenise
	intsPlanes          // byte planes, as text
	intsSet             // the differences of the distinct ones, in order, and which it is
)

// few is how many integers are written in the head.
const few = 12

// A token is an integer below 2^(m+1), or else 2^m for each further bit, and
// the m bits after the first: what is left are bits that are stored as they
// are (as JPEG XL's hybrid integers).
func tokenise(v uint64, m uint) (token uint, extra uint64, n uint) {
	if v < 2<<m {
		return uint(v), 0, 0
	}
	n = uint(bits.Len64(v)) - m - 1
	return (n+1)<<m + uint(v>>n)&(1<<m-1), v & (1<<n - 1), n
}

// tokenBits returns how many bits follow a token, and what they are added to.
func tokenBits(token, m uint) (n uint, base uint64) {
	if token < 2<<m {
		return 0, uint64(token)
	}
	n = token>>m - 1
	return n, (uint64(token&(1<<m-1)) | 1<<m) << n
}

// mantissa returns the largest m, up to 4, with which integers of so many bits
// have at most 255 tokens.
func mantissa(length int) uint {
	for m := uint(4); m > 0; m-- {
		if length <= int(m)+1 || (length-int(m)+1)<<m <= 255 {
			return m
		}
	}
	return 0
}

// logs2 are ⌊256·log₂(i)⌋ for 256 ≤ i < 512, less 2048.
var logs2 = func() (t [256]uint16) {
	// By repeated squaring of i/256: integers only.
	for i := range t {
		x, l := uint64(256+i)<<22, uint16(0) // 30 bits after the point
		for range 8 {
			x = x * x >> 30
			l <<= 1
			if x >= 2<<30 {
				x >>= 1
				l |= 1
			}
		}
		t[i] = l
	}
	return t
}()

// log2 returns 256·log₂(v), and 0 for 0.
func log2(v uint64) uint64 {
	if v == 0 {
		return 0
	}
	n := uint(bits.Len64(v)) - 1
	top := v << 8 >> n
	if n > 55 {
		top = v >> (n - 8)
	}
	return uint64(n)<<8 + uint64(logs2[top&255])
}

// intsCost estimates, in 256ths of a bit, what ints makes of v.
func intsCost(v []uint64) uint64 {
	if len(v) == 0 {
		return 0
	}
	least, most := v[0], v[0]
	var lengths [65]uint32
	for _, x := range v {
		least, most = min(least, x), max(most, x)
		lengths[bits.Len64(x)]++
	}
	n := uint64(len(v))
	if least == most {
		return 24 << 8
	}
	if len(v) <= few {
		return n * uint64(bits.Len64(most)/7+1) * (8 << 8)
	}
	packed := n*uint64(bits.Len64(most-least))<<8 + 40<<8
	m := mantissa(bits.Len64(most))
	var counts [256]uint32
	extra := uint64(0)
	for _, x := range v {
		t, _, k := tokenise(x, m)
		counts[t&255]++
		extra += uint64(k)
	}
	tokens := n*log2(n) + extra<<8 + 64<<8
	for _, c := range counts {
		if c > 0 {
			tokens = tokens - uint64(c)*log2(uint64(c)) + 5<<8
		}
	}
	cost := min(packed, tokens)
	if d := distinct(v, most); d > 0 {
		gap := uint64(bits.Len64(most-least))<<8 + 2<<8
		cost = min(cost, d*(gap-min(gap, log2(d)))+n*log2(d)+80<<8)
	}
	return cost
}

// distinct estimates how many distinct integers there are, where a set may pay;
// 0 is that it does not.
func distinct(v []uint64, most uint64) uint64 {
	if len(v) < 64 || bits.Len64(most) < 10 {
		return 0
	}
	var seen [1 << 13 / 64]uint64
	n := 0
	for _, x := range v {
		h := x * prime >> 51
		bit := uint64(1) << (h & 63)
		if seen[h>>6]&bit == 0 {
			seen[h>>6] |= bit
			if n++; n*2 > len(v) {
				return 0
			}
		}
	}
	return uint64(n)
}

// set codes integers as their distinct ones and which of these each is; false is
// that this does not pay, and nothing was coded.
func (e *encoder) set(v []uint64, most uint64) bool {
	if distinct(v, most) == 0 {
		return false
	}
	values := slices.Clone(v)
	slices.Sort(values)
	values = slices.Compact(values)
	if len(values)*2 > len(v) {
		return false
	}
	which := make([]uint64, len(v))
	for i, x := range v {
		n, _ := slices.BinarySearch(values, x)
		which[i] = uint64(n)
	}
	last := uint64(0)
	n := len(values)
	for i, x := range values {
		values[i] = x - last
		last = x
	}
	meta, body := len(e.meta), len(e.body)
	e.list(v, most)
	size := len(e.meta) + len(e.body)
	plainMeta, plainBody := slices.Clone(e.meta[meta:]), slices.Clone(e.body[body:])
	e.meta, e.body = e.meta[:meta], e.body[:body]
	e.int(intsSet)
	e.int(n)
	e.each(values)
	e.each(which)
	if len(e.meta)+len(e.body) >= size {
		e.meta, e.body = append(e.meta[:meta], plainMeta...), append(e.body[:body], plainBody...)
	}
	return true
}

// head is a block's description in the making.
type head struct {
	meta []byte // varints
	text []byte // literals, small dictionaries
	body []byte
}

func (h *head) put(v uint64) { h.meta = binary.AppendUvarint(h.meta, v) }

func (h *head) int(v int) { h.put(uint64(v)) }

// ints codes integers: how, in the meta data, and what, in the body.
func (e *encoder) ints(v []uint64) { e.code(v, true) }

// each is ints without a set.
func (e *encoder) each(v []uint64) { e.code(v, false) }

func (e *encoder) code(v []uint64, sets bool) {
	if len(v) == 0 {
		return
	}
	least, most := v[0], v[0]
	for _, x := range v {
		least, most = min(least, x), max(most, x)
	}
	if least == most {
		e.int(intsConstant)
		e.put(least)
		return
	}
	if len(v) <= few {
		e.int(intsFew)
		for _, x := range v {
			e.put(x)
		}
		return
	}
	if sets && e.set(v, most) {
		return
	}
	e.list(v, most)
}

// list codes integers each on its own: packed, or as tokens.
func (e *encoder) list(v []uint64, most uint64) {
	least, _ := bounds(v)
	at := len(e.body)
	length := bits.Len64(most)
	m := mantissa(length)
	e.tokens = e.tokens[:0]
	var extra bitWriter
	extra.bytes = e.extra[:0]
	for _, x := range v {
		t, low, n := tokenise(x, m)
		e.tokens = append(e.tokens, byte(t))
		extra.put(low, n)
	}
	bytes := extra.flush()
	e.extra = bytes[:0]
	var coding int
	e.body, coding = e.bytes.symbols(e.body, e.tokens)
	size := len(e.body) - at
	width := uint(bits.Len64(most - least))
	if packed := (len(v)*int(width) + 7) / 8; packed <= size+len(bytes)+3 {
		e.body = e.body[:at]
		w := bitWriter{bytes: e.body}
		for _, x := range v {
			w.put(x-least, width)
		}
		e.body = w.flush()
		e.int(intsPacked)
		e.put(least)
		e.int(int(width))
		return
	}
	e.body = append(e.body, bytes...)
	e.int(intsTokens | coding<<3)
	e.put(uint64(m))
	e.int(size)
	e.int(len(bytes))
}

// planes codes integers as text, a byte plane after the other, where that is
// less; ints otherwise.
func (e *encoder) planes(v []uint64) {
	meta, body := len(e.meta), len(e.body)
	e.ints(v)
	if len(v) <= few || e.meta[meta] == intsConstant {
		return
	}
	most := uint64(0)
	for _, x := range v {
		most = max(most, x)
	}
	n := (bits.Len64(most) + 7) / 8
	if n > 2 {
		return
	}
	e.tokens = e.tokens[:0]
	for shift := 0; shift < 8*n; shift += 8 {
		for _, x := range v {
			e.tokens = append(e.tokens, byte(x>>shift))
		}
	}
	end := len(e.body)
	var coding int
	e.body, coding = e.bytes.text(e.body, e.tokens, e.effort)
	if size := len(e.body) - end; coding == bytesZstd && size+3 < end-body {
		e.body = append(e.body[:body], e.body[end:]...)
		e.meta = e.meta[:meta]
		e.int(intsPlanes | coding<<3)
		e.int(n)
		e.int(size)
		return
	}
	e.body = e.body[:end]
}

// ints decodes n integers into memory of its own.
func (d *decoder) ints(n int) ([]uint64, error) {
	if n == 0 {
		return nil, nil
	}
	how, err := d.varint(255)
	if err != nil {
		return nil, err
	}
	v := make([]uint64, n)
	switch how & 7 {
	case intsConstant:
		x, err := d.uvarint()
		if err != nil {
			return nil, err
		}
		for i := range v {
			v[i] = x
		}
	case intsFew:
		for i := range v {
			if v[i], err = d.uvarint(); err != nil {
				return nil, err
			}
		}
	case intsPacked:
		return v, d.packed(v)
	case intsTokens:
		return v, d.tokens(v, how>>3)
	case intsPlanes:
		return v, d.planes(v, how>>3)
	case intsSet:
		return v, d.set(v)
	default:
		return nil, corrupt("unknown coding of integers")
	}
	return v, nil
}

func (d *decoder) set(v []uint64) error {
	if d.inSet {
		return corrupt("set of a set")
	}
	d.inSet = true
	defer func() { d.inSet = false }()
	n, err := d.varint(len(v))
	if err != nil {
		return err
	}
	values, err := d.ints(n)
	if err != nil {
		return err
	}
	last := uint64(0)
	for i, x := range values {
		last += x
		values[i] = last
	}
	which, err := d.ints(len(v))
	if err != nil {
		return err
	}
	for i, x := range which {
		if x >= uint64(n) {
			return corrupt("integer that is not of the set")
		}
		v[i] = values[x]
	}
	return nil
}

func (d *decoder) packed(v []uint64) error {
	least, err := d.uvarint()
	if err != nil {
		return err
	}
	width, err := d.varint(64)
	if err != nil {
		return err
	}
	b, err := d.take((len(v)*width + 7) / 8)
	if err != nil {
		return err
	}
	r := bitReader{bytes: b}
	for i := range v {
		v[i] = least + r.get(uint(width))
	}
	return nil
}

func (d *decoder) tokens(v []uint64, coding int) error {
	m, err := d.varint(4)
	if err != nil {
		return err
	}
	size, err := d.varint(maxBlock)
	if err != nil {
		return err
	}
	extra, err := d.varint(maxBlock)
	if err != nil {
		return err
	}
	b, err := d.take(size)
	if err != nil {
		return err
	}
	low, err := d.take(extra)
	if err != nil {
		return err
	}
	symbols, err := d.bytes.decode(b, coding, len(v))
	if err != nil {
		return err
	}
	// What each token stands for.
	var base [256]uint64
	var count [256]uint8
	for t := range base {
		n, b := tokenBits(uint(t), uint(m))
		base[t], count[t] = b, uint8(min(n, 63))
	}
	r := bitReader{bytes: low}
	for i, t := range symbols[:len(v)] {
		v[i] = base[t]
		if n := count[t]; n > 0 {
			v[i] += r.get(uint(n))
		}
	}
	if r.over() {
		return corrupt("bits of integers")
	}
	return nil
}

func (d *decoder) planes(v []uint64, coding int) error {
	n, err := d.varint(8)
	if err != nil {
		return err
	}
	size, err := d.varint(maxBlock)
	if err != nil {
		return err
	}
	b, err := d.take(size)
	if err != nil {
		return err
	}
	planes, err := d.bytes.decode(b, coding, n*len(v))
	if err != nil {
		return err
	}
	for shift := 0; shift < 8*n; shift += 8 {
		for i, x := range planes[:len(v)] {
			v[i] |= uint64(x) << shift
		}
		planes = planes[len(v):]
	}
	return nil
}

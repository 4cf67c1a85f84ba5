package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/equations"
)

// Bounds of a unit, checked before anything of it is believed.
const (
	maxData     = 64 << 10 // of one entry
	maxUnitData = 8 << 20  // of a unit's entries
	maxEntries  = 1 << 18  // of a unit
	maxColumns  = 32 * maxEntries
	maxSections = 260
)

// header says what is in a unit: a batch of the tail, or a block. Its first
// sequence number is in its key.
type header struct {
	first, last  uint64 // sequence numbers
	entries      uint64
	since, until int64  // the earliest and the latest time, microseconds since 1970
	data         uint64 // bytes of the entries' data
	newlines     uint64 // in the data
	endsLine     bool   // the last byte of the data is a newline
	inline       bool   // the payload follows the header, and is not in pieces
	broken       bool   // the header itself is damaged
	whole        bool   // the data of each kind ends with a newline
	filter       []byte // of package filter, of the data; empty is none
	level        uint64 // 0 is a batch
	dictionary   uint64 // 0 is none
	sections     []section
	payload      uint64 // bytes of the sections, coded
	payloadSum   uint32
	size         int // of the encoded header
}

// section is a part of a unit's body that is coded on its own.
type section struct {
	method      method
	raw, stored uint64 // bytes
}

const (
	unitFormat = 1

	flagEndsLine = 1
	flagInline   = 2
	flagWhole    = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (h *header) append(dst []byte) []byte {
	begin := len(dst)
	var flags byte
	if h.endsLine {
		flags |= flagEndsLine
	}
	if h.inline {
		flags |= flagInline
	}
	if h.whole {
		flags |= flagWhole
	}
	dst = append(dst, unitFormat, flags)
	for _, n := range []uint64{
		h.last - h.first, h.entries, equations.Zigzag(h.since), uint64(h.until - h.since), h.data, h.newlines,
		h.level, h.dictionary, uint64(len(h.sections)),
	} {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, s := range h.sections {
		dst = append(dst, byte(s.method))
		dst = binary.AppendUvarint(dst, s.raw)
		dst = binary.AppendUvarint(dst, s.stored)
	}
	dst = append(binary.AppendUvarint(dst, uint64(len(h.filter))), h.filter...)
	dst = binary.LittleEndian.AppendUint32(dst, h.payloadSum)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

// errUnit says that a unit is not one that was written.
var errUnit = errors.New("not a unit of this format")

func damaged(what string) error { return fmt.Errorf("%w: %s: %w", ErrDamaged, what, errUnit) }

// parseHeader reads the header at the beginning of raw, of the unit that
// begins with a sequence number.
func parseHeader(first uint64, raw []byte) (h header, err error) {
	r := reader{rest: raw}
	format := r.byte()
	if r.bad || format != unitFormat {
		return h, damaged("format")
	}
	flags := r.byte()
	span := r.uvarint()
	h.first, h.last = first, first+span
	h.entries = r.uvarint()
	h.since = equations.Unzigzag(r.uvarint())
	h.until = h.since + int64(r.uvarint())
	h.data, h.newlines = r.uvarint(), r.uvarint()
	h.level, h.dictionary = r.uvarint(), r.uvarint()
	n := r.uvarint()
	if r.bad || flags > flagEndsLine|flagInline|flagWhole || h.last < first || h.entries == 0 || h.entries > maxEntries || h.entries-1 > span ||
		h.until < h.since || h.data > maxUnitData || h.newlines > h.data || n == 0 || n > maxSections {
		return h, damaged("header")
	}
	h.endsLine, h.inline = flags&flagEndsLine != 0, flags&flagInline != 0
	h.whole = flags&flagWhole != 0
	h.sections = make([]section, n)
	var body uint64
	for i := range h.sections {
		s := section{method: method(r.byte()), raw: r.uvarint(), stored: r.uvarint()}
		if s.raw > maxUnitData+maxColumns || s.stored > s.raw {
			return h, damaged("section")
		}
		h.sections[i] = s
		h.payload += s.stored
		body += s.raw
	}
	if n := r.uvarint(); n <= uint64(len(r.rest)) {
		h.filter, r.rest = bytes.Clone(r.rest[:n]), r.rest[n:]
	} else {
		r.bad = true
	}
	h.payloadSum = r.uint32()
	h.size = len(raw) - len(r.rest)
	if sum := r.uint32(); r.bad || body < h.data || body > h.data+maxColumns || sum != crc32.Checksum(raw[:h.size], castagnoli) {
		return h, damaged("header")
	}
	h.size += 4
	return h, nil
}

// unit is a unit with what it takes to decode it, copied from the file.
type unit struct {
	header     *header
	payload    []byte
	dictionary dictionary
}

// unitBuckets are where units' headers are, in the order of what is in them.
var unitBuckets = [][]byte{bucketBlocks, bucketTail}

// eachHeader visits the headers of a stream's units in a bucket, from that with
// a first sequence number on, until visit gives false.
func eachHeader(tx *bbolt.Tx, bucket []byte, id uint32, from uint64, visit func(*header) bool) error {
	c := tx.Bucket(bucket).Cursor()
	for k, v := c.Seek(key(id, from)); ; k, v = c.Next() {
		if h, _ := parseUnit(bucket, id, k, v); h == nil || !visit(h) {
			return nil
		}
	}
}

// unitBefore gives the last unit of a stream in a bucket that begins at or
// before a sequence number, and its value; nil where there is none.
func unitBefore(tx *bbolt.Tx, bucket []byte, id uint32, first uint64) (*header, []byte) {
	c := tx.Bucket(bucket).Cursor()
	want := key(id, first)
	k, v := c.Seek(want)
	if k == nil {
		k, v = c.Last()
	} else if !bytes.Equal(k, want) {
		k, v = c.Prev()
	}
	return parseUnit(bucket, id, k, v)
}

// unitFrom gives the first unit of a bucket that ends at or after a sequence
// number.
func unitFrom(tx *bbolt.Tx, bucket []byte, id uint32, sequence uint64) (*header, []byte) {
	h, value := unitBefore(tx, bucket, id, sequence)
	if h != nil && h.last >= sequence {
		return h, value
	}
	k, v := tx.Bucket(bucket).Cursor().Seek(key(id, sequence))
	return parseUnit(bucket, id, k, v)
}

// parseUnit parses what a cursor gives, nil where it is another stream's. In
// place of a header that is damaged there is one of a damaged unit.
func parseUnit(bucket []byte, id uint32, k, v []byte) (*header, []byte) {
	if len(k) != 12 || binary.BigEndian.Uint32(k) != id {
		return nil, nil
	}
	first := binary.BigEndian.Uint64(k[4:])
	h, err := parseHeader(first, v)
	if err != nil || (h.level == levelBatch) != bytes.Equal(bucket, bucketTail) {
		h = brokenHeader(first)
		if bytes.Equal(bucket, bucketBlocks) {
			h.level = levelBlock
		}
	}
	return &h, v
}

// brokenHeader is that of a unit of which nothing is known but where it begins.
// It cannot be decoded.
func brokenHeader(first uint64) header {
	return header{
		first: first, last: first, entries: 1, since: earliest, until: latest, broken: true,
		sections: []section{{method: methodRaw}}, payloadSum: ^uint32(0),
	}
}

// loadUnit copies a unit's payload, from its value or its pieces. What cannot
// be read of it is left out: its checksum tells.
func loadUnit(tx *bbolt.Tx, id uint32, h *header, value []byte) (u unit) {
	u.header = h
	defer func() {
		if recover() != nil { // a bad sector, or a garbled page
			u.payload = nil
		}
	}()
	if h.broken {
		return u
	}
	if u.dictionary = loadDictionary(tx, dictionaryID{id, h.dictionary}); h.inline {
		u.payload = append([]byte(nil), value[h.size:]...)
		return u
	}
	u.payload = make([]byte, 0, h.payload)
	pieces := tx.Bucket(bucketPieces)
	for n := 0; uint64(len(u.payload)) < h.payload; n++ {
		piece := pieces.Get(pieceKey(id, h.first, n))
		if len(piece) == 0 || uint64(len(u.payload)+len(piece)) > h.payload {
			break
		}
		u.payload = append(u.payload, piece...)
	}
	return u
}

const (
	// inlineSize is how long a payload is at most that is not cut into pieces.
	inlineSize = 2 << 10
	// pieceSize is how long the pieces of others are: two of them, with what
	// bbolt adds, fill eight pages. Larger values would have bbolt look for
	// larger holes in the file, and copy more when their neighbours change.
	pieceSize = 4*4096 - 40
)

func pieceKey(id uint32, first uint64, n int) []byte {
	return binary.BigEndian.AppendUint16(key(id, first), uint16(n))
}

// bucketOf is where a unit's header is.
func (h *header) bucketOf() []byte {
	if h.level == levelBatch {
		return bucketTail
	}
	return bucketBlocks
}

// putUnit adds a unit.
func putUnit(tx *bbolt.Tx, id uint32, h *header, payload []byte) error {
	value := h.append(nil)
	if h.inline {
		value, payload = append(value, payload...), nil
	}
	headers := tx.Bucket(h.bucketOf())
	headers.FillPercent = 0.9 // most come in order
	if err := headers.Put(key(id, h.first), value); err != nil {
		return err
	}
	pieces := tx.Bucket(bucketPieces)
	for n := 0; len(payload) > 0; n++ {
		size := min(len(payload), pieceSize)
		if err := pieces.Put(pieceKey(id, h.first, n), payload[:size]); err != nil {
			return err
		}
		payload = payload[size:]
	}
	return nil
}

// deleteUnit removes a unit.
func deleteUnit(tx *bbolt.Tx, id uint32, h *header) error {
	if err := tx.Bucket(h.bucketOf()).Delete(key(id, h.first)); err != nil || h.inline {
		return err
	}
	// A broken header does not tell whether there are pieces.
	c := tx.Bucket(bucketPieces).Cursor()
	prefix := key(id, h.first)
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Seek(prefix) {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// reader reads numbers; bad is set when there were too few bytes, or a number
// was too large.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) uint32() uint32 {
	if len(r.rest) < 4 {
		r.bad, r.rest = true, nil
		return 0
	}
	n := binary.LittleEndian.Uint32(r.rest)
	r.rest = r.rest[4:]
	return n
}

// microseconds is how times are stored.
func microseconds(t time.Time) int64 { return t.UnixMicro() }

func timeOf(us int64) time.Time { return time.UnixMicro(us) }

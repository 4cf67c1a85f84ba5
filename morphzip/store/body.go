package store

import (
	"bytes"
	"encoding/binary"

	"github.com/entroos/entroos/equations"
)

// A unit's body is the length of its columns, the columns, and the data of its
// entries, all of one kind together. What entries have in common so stands
// together: their times, where the data of each ends, and their text.
//
// The columns are
//   - the skipped sequence numbers: how many skips, for each the number of
//     entries since the last skip, and how many numbers are left out before it;
//   - the kinds: how many runs, for each its kind and its length;
//   - the entries' lengths: the newlines in each, and then how many bytes
//     follow the last newline of each;
//   - the times: the zigzag codes of their first differences, microseconds.

// body is the decoded form of a unit.
type body struct {
	sequences []uint64
	times     []int64
	kinds     []uint8
	data      [][]byte // of each entry
	size      int      // bytes of the data
}

func (b *body) len() int { return len(b.sequences) }

func (b *body) entry(i int) Entry {
	return Entry{Sequence: b.sequences[i], Time: timeOf(b.times[i]), Kind: b.kinds[i], Data: b.data[i]}
}

// add appends an entry; its data is kept.
func (b *body) add(e Entry) {
	b.sequences = append(b.sequences, e.Sequence)
	b.times = append(b.times, microseconds(e.Time))
	b.kinds = append(b.kinds, e.Kind)
	b.data = append(b.data, e.Data)
	b.size += len(e.Data)
}

// join appends another body.
func (b *body) join(more *body) {
	b.sequences = append(b.sequences, more.sequences...)
	b.times = append(b.times, more.times...)
	b.kinds = append(b.kinds, more.kinds...)
	b.data = append(b.data, more.data...)
	b.size += more.size
}

// describe gives the header of the body's unit, but for what coding adds.
func (b *body) describe() header {
	last := b.len() - 1
	h := header{
		first: b.sequences[0], last: b.sequences[last], entries: uint64(b.len()),
		since: b.times[0], until: b.times[0],
	}
	var open [256]bool
	for i, data := range b.data {
		h.since, h.until = min(h.since, b.times[i]), max(h.until, b.times[i])
		h.data += uint64(len(data))
		h.newlines += uint64(bytes.Count(data, newline))
		if len(data) > 0 {
			h.endsLine = data[len(data)-1] == '\n'
			open[b.kinds[i]] = !h.endsLine
		}
	}
	h.whole = open == [256]bool{}
	return h
}

var newline = []byte("\n")

// encode gives the parts of the encoded body: the columns with their length,
// and the data of each kind. deltas are the times' zigzag codes.
func (b *body) encode() (parts [][]byte, deltas []uint64) {
	var columns []byte
	columns = b.appendSkips(columns)
	columns = b.appendKinds(columns)
	var order [256]int // where a kind's part is
	parts = [][]byte{nil}
	var sizes [256]int
	for i, data := range b.data {
		sizes[b.kinds[i]] += len(data)
	}
	for i, data := range b.data {
		k := b.kinds[i]
		if order[k] == 0 {
			order[k] = len(parts)
			parts = append(parts, make([]byte, 0, sizes[k]))
		}
		parts[order[k]] = append(parts[order[k]], data...)
		columns = binary.AppendUvarint(columns, uint64(bytes.Count(data, newline)))
	}
	for _, data := range b.data {
		columns = binary.AppendUvarint(columns, uint64(len(data)-1-bytes.LastIndexByte(data, '\n')))
	}
	deltas = equations.ZigzagDelta(make([]uint64, b.len()), b.times, 1)
	for _, d := range deltas {
		columns = binary.AppendUvarint(columns, d)
	}
	parts[0] = append(binary.AppendUvarint(make([]byte, 0, len(columns)+4), uint64(len(columns))), columns...)
	return parts, deltas
}

func (b *body) appendSkips(dst []byte) []byte {
	var skips []byte
	n, since := 0, 0
	for i := 1; i < b.len(); i++ {
		since++
		if left := b.sequences[i] - b.sequences[i-1] - 1; left > 0 {
			skips = binary.AppendUvarint(binary.AppendUvarint(skips, uint64(since)), left)
			n, since = n+1, 0
		}
	}
	return append(binary.AppendUvarint(dst, uint64(n)), skips...)
}

func (b *body) appendKinds(dst []byte) []byte {
	var runs []byte
	n := 0
	for i := 0; i < b.len(); {
		end := i + 1
		for end < b.len() && b.kinds[end] == b.kinds[i] {
			end++
		}
		runs = binary.AppendUvarint(append(runs, b.kinds[i]), uint64(end-i))
		n, i = n+1, end
	}
	return append(binary.AppendUvarint(dst, uint64(n)), runs...)
}

// decodeBody is the inverse of encode, for the parts in one. The result refers
// to raw. It checks everything against the unit's header.
func decodeBody(raw []byte, h *header) (*body, error) {
	r := reader{rest: raw}
	size := r.uvarint()
	if r.bad || size > uint64(len(r.rest)) || uint64(len(r.rest))-size != h.data {
		return nil, damaged("columns")
	}
	data := r.rest[size:]
	r.rest = r.rest[:size]
	n := int(h.entries)
	b := &body{sequences: make([]uint64, n), times: make([]int64, n), kinds: make([]uint8, n), data: make([][]byte, n), size: len(data)}
	if !b.readSkips(&r, h) || !b.readKinds(&r) {
		return nil, damaged("sequence numbers and kinds")
	}
	newlines, rests := make([]uint64, n), make([]uint64, n)
	for i := range newlines {
		newlines[i] = r.uvarint()
	}
	for i := range rests {
		rests[i] = r.uvarint()
	}
	deltas := make([]uint64, n)
	for i := range deltas {
		deltas[i] = r.uvarint()
	}
	if r.bad || len(r.rest) > 0 {
		return nil, damaged("columns")
	}
	equations.ZigzagSum(b.times, deltas, 1)
	if !b.cut(data, newlines, rests) {
		return nil, damaged("lengths")
	}
	return b, nil
}

func (b *body) readSkips(r *reader, h *header) bool {
	next, at := h.first, 0
	for skips := r.uvarint(); skips > 0 && !r.bad; skips-- {
		since, left := r.uvarint(), r.uvarint()
		if r.bad || since == 0 || since > uint64(b.len()-at) || left > h.last-h.first {
			return false
		}
		for range since {
			b.sequences[at] = next
			next, at = next+1, at+1
		}
		next += left
	}
	for ; at < b.len(); at++ {
		b.sequences[at] = next
		next++
	}
	return !r.bad && b.sequences[b.len()-1] == h.last
}

func (b *body) readKinds(r *reader) bool {
	at := 0
	for runs := r.uvarint(); runs > 0 && !r.bad; runs-- {
		kind, length := r.byte(), r.uvarint()
		if r.bad || length == 0 || length > uint64(b.len()-at) {
			return false
		}
		for range length {
			b.kinds[at] = kind
			at++
		}
	}
	return !r.bad && at == b.len()
}

// cut gives each entry its data: so many newlines, and so many bytes after the
// last of them.
func (b *body) cut(data []byte, newlines, rests []uint64) bool {
	// The data of a kind begins where that of the one before ends, which is
	// known when its entries were cut.
	var done [256]bool
	for i := range b.kinds {
		k := b.kinds[i]
		if done[k] {
			continue
		}
		done[k] = true
		for j := i; j < len(b.kinds); j++ {
			if b.kinds[j] != k {
				continue
			}
			end := 0
			for range newlines[j] {
				at := bytes.IndexByte(data[end:], '\n')
				if at < 0 {
					return false
				}
				end += at + 1
			}
			if rests[j] > uint64(len(data)-end) || uint64(end)+rests[j] > maxData {
				return false
			}
			end += int(rests[j])
			b.data[j], data = data[:end:end], data[end:]
		}
	}
	return len(data) == 0
}

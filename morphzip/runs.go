package morphzip

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// A run is a long repetition of one byte that was taken out of a block: after
// At bytes of what is left there are Length times Value. A run of any length
// takes a few bytes, and no reader holds it.
type run struct {
	at     int // in what is left of the block
	length uint64
	value  byte
}

const (
	// minRun is the shortest run that is taken out. Shorter ones are the
	// coders' matter: cutting data up costs them context.
	minRun = 8 << 10
	// window: each run of minRun bytes has one of these within, aligned.
	window = minRun / 2
	// maxRuns bounds the runs of a block, and maxSize its bytes with them.
	maxRuns = 1 << 14
	maxSize = 1 << 40
)

// elider takes runs out of a stream of bytes.
type elider struct {
	rest    []byte // what is left of the block so far
	runs    []run
	scanned int    // of rest, in which there is no more run
	size    uint64 // with the runs

	running bool // the bytes now are of a run, which may turn out too short
	length  uint64
	value   byte
	page    []byte // of value
}

// reset begins a block, in the storage of rest.
func (e *elider) reset(rest []byte) {
	*e = elider{rest: rest[:0], page: e.page}
}

// take takes bytes until the block is full, with limit bytes of rest, and says
// how many.
func (e *elider) take(b []byte, limit int) (n int, full bool) {
	for {
		if e.running {
			same := e.same(b[n:])
			n += same
			e.length += uint64(same)
			e.size += uint64(same)
			if n == len(b) && e.size < maxSize {
				return n, false
			}
			e.endRun()
		}
		if len(e.rest) >= limit || len(e.runs) >= maxRuns || e.size >= maxSize {
			return n, true
		}
		if n == len(b) {
			return n, false
		}
		// As far as the next window's end.
		next := min(e.scanned+window, limit) - len(e.rest)
		next = min(next, len(b)-n)
		if len(e.rest)+next > cap(e.rest) && len(e.rest) >= mebi/2 { // at once, not by doubling
			e.rest = slices.Grow(e.rest, limit-len(e.rest))
		}
		e.rest = append(e.rest, b[n:n+next]...)
		n += next
		e.size += uint64(next)
		e.scan(limit)
	}
}

// scan looks for a run in the window that is complete. One that begins where the
// block ends is the next block's, as it may turn out to be none.
func (e *elider) scan(limit int) {
	if len(e.rest)-e.scanned < window {
		return
	}
	w := e.rest[e.scanned:]
	if !uniform(w) {
		e.scanned = len(e.rest)
		return
	}
	start, value := e.scanned, w[0]
	last := 0 // where the run before ends
	if len(e.runs) > 0 {
		last = e.runs[len(e.runs)-1].at
	}
	for start > last && e.rest[start-1] == value {
		start--
	}
	if start+minRun > limit {
		e.scanned = len(e.rest)
		return
	}
	e.running, e.value, e.length = true, value, uint64(len(e.rest)-start)
	e.rest = e.rest[:start]
	if len(e.page) == 0 || e.page[0] != value {
		e.page = bytes.Repeat([]byte{value}, 64<<10)
	}
}

// endRun makes a run of the bytes that were alike, or puts them back.
func (e *elider) endRun() {
	if e.length >= minRun {
		e.runs = append(e.runs, run{len(e.rest), e.length, e.value})
	} else {
		e.rest = append(e.rest, e.page[:e.length]...)
	}
	e.running, e.scanned = false, len(e.rest)
}

// end ends the block.
func (e *elider) end() {
	if e.running {
		e.endRun()
	}
}

// openLine is what is behind the last newline, where that is limit bytes at most
// and no run is within or before it.
func (e *elider) openLine(limit int) []byte {
	begin := 0
	if n := len(e.runs); n > 0 {
		begin = e.runs[n-1].at
	}
	at := bytes.LastIndexByte(e.rest[max(begin, len(e.rest)-limit-1):], '\n')
	if at < 0 {
		return nil
	}
	return e.rest[max(begin, len(e.rest)-limit-1)+at+1:]
}

// same is how many of the first bytes of b go on with the run.
func (e *elider) same(b []byte) int {
	b = b[:min(uint64(len(b)), maxSize-e.size)]
	n := 0
	for len(b)-n >= len(e.page) && bytes.Equal(b[n:n+len(e.page)], e.page) {
		n += len(e.page)
	}
	for size := len(e.page) / 2; size > 0; size /= 2 { // what is left is less than a page
		if len(b)-n >= size && bytes.Equal(b[n:n+size], e.page[:size]) {
			n += size
		}
	}
	return n
}

// uniform says whether all bytes are the same.
func uniform(b []byte) bool { return len(b) < 2 || bytes.Equal(b[1:], b[:len(b)-1]) }

// appendRuns appends how many runs there are, how many bytes are left without
// them, and each run: the bytes before it since the last, its length, its byte.
func appendRuns(dst []byte, rest int, runs []run) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(runs)))
	dst = binary.AppendUvarint(dst, uint64(rest))
	last := 0
	for _, r := range runs {
		dst = binary.AppendUvarint(dst, uint64(r.at-last))
		dst = binary.AppendUvarint(dst, r.length)
		dst = append(dst, r.value)
		last = r.at
	}
	return dst
}

// parseRuns reads what appendRuns wrote, of a block of size bytes.
func parseRuns(b []byte, size uint64) (rest int, runs []run, payload []byte, err error) {
	count, b, ok := uvarint(b, maxRuns)
	left, b, ok2 := uvarint(b, min(size, MaxBlock))
	if !ok || !ok2 || count == 0 || count > uint64(len(b)/3) {
		return 0, nil, nil, corrupt("the block's runs")
	}
	runs = make([]run, count)
	at, total := uint64(0), left
	for i := range runs {
		before, tail, ok := uvarint(b, left-at)
		length, tail, ok2 := uvarint(tail, size-total)
		if !ok || !ok2 || length == 0 || len(tail) == 0 {
			return 0, nil, nil, corrupt("the block's runs")
		}
		at += before
		total += length
		runs[i] = run{int(at), length, tail[0]}
		b = tail[1:]
	}
	if total != size {
		return 0, nil, nil, corrupt("the block's runs")
	}
	return int(left), runs, b, nil
}

// uvarint reads a number up to limit from the beginning of b. Only the shortest
// way to write it is taken.
func uvarint(b []byte, limit uint64) (x uint64, rest []byte, ok bool) {
	x, n := binary.Uvarint(b)
	if n <= 0 || x > limit || n > 1 && b[n-1] == 0 {
		return 0, b, false
	}
	return x, b[n:], true
}

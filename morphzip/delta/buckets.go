package delta

import (
	"encoding/binary"
	"slices"
)

// buckets are a Go program's table of which function is at each address
// (runtime.findfunctab): it follows from the index of functions, which comes
// before it in the file. It holds, for each 4 KiB of code, the number of the
// function that the first byte is in and, by 256 bytes, how many more.
type buckets struct {
	index, count int64 // where the new file's index is, and how many functions it has
	table        int64 // where the new file's table is
	entries      []uint32
	seen         int64 // how many entries are known
}

const (
	bucketSize = 4096
	partOfIt   = 256
	inBucket   = bucketSize / partOfIt
	bucketData = 4 + inBucket
	// maxIndexed bounds the functions of all programs in a file.
	maxIndexed = 1 << 20
)

// findBuckets returns the tables of the new file's programs, from where the old
// file's went, and how many functions they have.
func (p *predictor) findBuckets(s *plan) []*buckets {
	var found []*buckets
	left := int64(maxIndexed)
	for i := range p.bases {
		count := s.functions[i]
		if count <= 0 || count > left || p.bases[i][fromIndexed] < 0 || p.bases[i][fromBuckets] < 0 {
			continue
		}
		left -= count
		found = append(found, &buckets{index: p.bases[i][fromIndexed], count: count, table: p.bases[i][fromBuckets]})
	}
	return found
}

// see takes up the entries in bytes of the new file at an offset; they come in
// the file's order.
func (b *buckets) see(data []byte, at int64) {
	if at >= b.index+8*(b.count+1) || at+int64(len(data)) <= b.index {
		return
	}
	if b.entries == nil {
		b.entries = make([]uint32, b.count+1)
	}
	for i := max(b.index-at, 0); i < int64(len(data)) && at+i < b.index+8*b.count+4; i++ {
		// The first four of an entry's eight bytes are where the function begins.
		if into := at + i - b.index; into&7 < 4 {
			b.entries[into>>3] |= uint32(data[i]) << (8 * (into & 7))
			if into&7 == 3 {
				b.seen++
			}
		}
	}
}

// size is how many bytes the table has, 0 while the index is not known.
func (b *buckets) size() int64 {
	if b.entries == nil || b.seen <= b.count {
		return 0
	}
	code := int64(b.entries[b.count]) - int64(b.entries[0])
	return (code+bucketSize-1)/bucketSize*4 + (code+partOfIt-1)/partOfIt
}

// foretell puts what the table has into the bytes that are expected at an offset.
func (b *buckets) foretell(was []byte, at int64) {
	size := b.size()
	for i := max(b.table-at, 0); i < int64(len(was)) && at+i < b.table+size; i++ {
		into := at + i - b.table
		bucket, field := into/bucketData, into%bucketData
		first := b.function(bucket * inBucket)
		if field < 4 {
			var number [4]byte
			binary.LittleEndian.PutUint32(number[:], first)
			was[i] = number[field]
		} else {
			was[i] = byte(b.function(bucket*inBucket+field-4) - first)
		}
	}
}

// function is the number of the function that a part of the code begins in.
func (b *buckets) function(part int64) uint32 {
	address := int64(b.entries[0]) + part*partOfIt
	i, found := slices.BinarySearchFunc(b.entries[:b.count], address, func(entry uint32, address int64) int {
		return int(min(max(int64(entry)-address, -1), 1))
	})
	if !found {
		i--
	}
	return uint32(max(i, 0))
}

package densest

// table keeps the cells of all hashed contexts: buckets of 16, one cache line,
// of which the first holds a check and 15 the binary tree of one nibble.
type table struct {
	cells []cell
	mask  uint32
}

func newTable(bucketBits int) *table {
	return &table{cells: make([]cell, 16<<bucketBits), mask: 1<<bucketBits - 1}
}

// bucket returns the index of the bucket of the context h, which displaces the
// less used of its two places' when it is new.
func (t *table) bucket(h uint64) uint32 {
	check := cell(h>>48) << 16 // below it are the last byte and its run
	i := uint32(h) & t.mask
	j := i ^ 1
	if t.cells[i*16]&0xffff0000 == check && t.cells[i*16+1] != 0 {
		return i * 16
	}
	if t.cells[j*16]&0xffff0000 == check && t.cells[j*16+1] != 0 {
		return j * 16
	}
	// The root of the tree counts how often the context was seen.
	if t.cells[i*16+1] != 0 && (t.cells[j*16+1] == 0 || t.cells[j*16+1]>>8&127 < t.cells[i*16+1]>>8&127) {
		i = j
	}
	b := t.cells[i*16 : i*16+16]
	b[0] = check
	for k := 1; k < 16; k++ {
		b[k] = freshCell
	}
	return i * 16
}

// mixHash combines two hashes into one.
func mixHash(a, b uint64) uint64 {
	h := (a ^ b*0x9E3779B97F4A7C15) * 0xD6E8FEB86659FD93
	return h ^ h>>32
}

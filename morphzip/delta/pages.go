package delta

import (
	"errors"
	"fmt"
	"io"
)

const (
	pageBits = 13
	pageSize = 1 << pageBits
	// How many pages are held of a file that is read all over: 2 MiB, and of one
	// that is read from its beginning to its end.
	manyPages, fewPages = 256, 16
)

// pages reads a file anywhere, holding a few pages of it.
//
// The first error stays, and all that is read after it is zeros: callers look
// once, at the end.
type pages struct {
	source io.ReaderAt
	size   int64
	// prepare changes a page that was read, at its offset; may be nil.
	prepare func(offset int64, page []byte)
	cache   []cachedPage
	err     error
}

type cachedPage struct {
	number int64 // plus one
	data   []byte
}

func newPages(source io.ReaderAt, size int64, cached int) *pages {
	return &pages{source: source, size: size, cache: make([]cachedPage, cached)}
}

// at returns the bytes from the offset on that lie on one page: at least one,
// where the offset is in the file.
func (p *pages) at(offset int64) []byte {
	if offset < 0 || offset >= p.size {
		return nil
	}
	number := offset >> pageBits
	entry := &p.cache[number%int64(len(p.cache))]
	if entry.number != number+1 {
		p.load(number)
	}
	return entry.data[offset&(pageSize-1):]
}

func (p *pages) load(number int64) {
	entry := &p.cache[number%int64(len(p.cache))]
	if entry.data == nil {
		entry.data = make([]byte, pageSize)
	}
	start := number << pageBits
	entry.data = entry.data[:min(pageSize, p.size-start)]
	entry.number = number + 1
	if p.err == nil {
		n, err := p.source.ReadAt(entry.data, start)
		if n == len(entry.data) {
			if p.prepare != nil {
				p.prepare(start, entry.data)
			}
			return
		}
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		p.err = fmt.Errorf("delta: reading a file at %d: %w", start+int64(n), err)
	}
	clear(entry.data)
}

// read fills dst with the bytes from the offset on, and returns how many there
// are.
func (p *pages) read(dst []byte, offset int64) int {
	n := 0
	for n < len(dst) {
		part := p.at(offset + int64(n))
		if len(part) == 0 {
			break
		}
		n += copy(dst[n:], part)
	}
	return n
}

// byteAt returns the byte at the offset, which must be in the file.
func (p *pages) byteAt(offset int64) byte { return p.at(offset)[0] }

// common returns how many bytes of p from i on and of q from j on are equal, up
// to n.
func (p *pages) common(i int64, q *pages, j, n int64) int64 {
	var length int64
	for length < n {
		a, b := p.at(i+length), q.at(j+length)
		m := min(int64(len(a)), int64(len(b)), n-length)
		if m <= 0 {
			break
		}
		for k := range m {
			if a[k] != b[k] {
				return length + k
			}
		}
		length += m
	}
	return length
}

package morphzip

import "github.com/entroos/entroos/morphzip/filter"

const (
	// filterShare is what part of a block's frame its filter may take besides,
	// denseShare where searching the payload is slow, and filterBlock of the
	// block itself.
	filterShare = 40
	denseShare  = 24
	filterBlock = 512
)

// buildFilter appends what lets a search skip the block without decoding it, of
// a frame of so many bytes. Numbers are in it where the level has the time, and
// the payload does not tell of them itself.
func buildFilter(dst []byte, f *filter.Builder, level Level, r *Report, b *rawBlock, frame int) []byte {
	share := filterShare
	if level >= Dense {
		share = denseShare
	}
	size := min(frame/share, len(b.rest)/filterBlock, MaxFilter/2)
	if r.Method == Stored {
		size = 0
	}
	f.Begin(size, level >= Dense)
	at := 0
	for _, r := range b.runs {
		f.Write(b.rest[at:r.at])
		f.WriteRun(r.value, r.length)
		at = r.at
	}
	f.Write(b.rest[at:])
	return f.Append(dst)
}

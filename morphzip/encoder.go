package morphzip

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/entroos/entroos/equations"
)

// Options are a Writer's and an Encoder's. The zero value is of use.
type Options struct {
	// Level is Default where it is 0.
	Level Level
	// BlockSize is of how many bytes a block is, 4 KiB to 32 MiB; 0 is the
	// level's. Smaller blocks are quicker to reach, and take more space.
	BlockSize int
	// Workers is how many blocks a Writer codes at a time; 0 is one for each of
	// GOMAXPROCS at the levels 1 to 6, and one from Dense on. The file is the
	// same in any case.
	Workers int
	// Observe, if set, is told of each block, in order.
	Observe func(*Report)
	// Go starts the Writer's goroutines; nil is the go statement.
	Go func(name string, f func())
}

// The bounds of Options.BlockSize.
const (
	minBlockSize = 4 << 10
	maxBlockSize = MaxBlock / 2
)

func (o Options) complete() (Options, error) {
	if o.Level == 0 {
		o.Level = Default
	}
	if err := o.Level.check(); err != nil {
		return o, err
	}
	if o.BlockSize == 0 {
		o.BlockSize = o.Level.BlockSize()
	}
	if o.BlockSize < minBlockSize || o.BlockSize > maxBlockSize {
		return o, fmt.Errorf("morphzip: blocks of %d bytes: they are of %d to %d", o.BlockSize, minBlockSize, maxBlockSize)
	}
	if o.Workers <= 0 {
		o.Workers = 1
		if !o.Level.serial() {
			o.Workers = runtime.GOMAXPROCS(0)
		}
	}
	if o.Go == nil {
		o.Go = func(_ string, f func()) { go f() }
	}
	return o, nil
}

// Encoder codes blocks into frames. It is for one goroutine at a time.
type Encoder struct {
	level   Level
	observe func(*Report)
	number  uint64 // of blocks coded
	elider  elider
}

// NewEncoder makes an Encoder. Of the options it takes the level and Observe.
func NewEncoder(o Options) (*Encoder, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	return newEncoder(o), nil
}

func newEncoder(o Options) *Encoder { return &Encoder{level: o.Level, observe: o.Observe} }

// Encode appends the frame of a block of 1 to MaxBlock bytes to dst. It panics
// at another length.
func (e *Encoder) Encode(dst, block []byte) []byte {
	if len(block) == 0 || len(block) > MaxBlock {
		panic(fmt.Sprintf("morphzip: a block of %d bytes", len(block)))
	}
	e.elider.reset(slices.Grow(e.elider.rest[:0], len(block)))
	e.elider.take(block, MaxBlock)
	e.elider.end()
	b := rawBlock{rest: e.elider.rest, runs: e.elider.runs, size: e.elider.size, number: e.number}
	e.number++
	dst, report := e.encode(dst, &b)
	if e.observe != nil {
		e.observe(report)
	}
	return dst
}

// rawBlock is a block that is to be coded.
type rawBlock struct {
	rest   []byte
	runs   []run
	size   uint64
	offset uint64 // of the file's part before it
	number uint64 // of blocks before it
}

func (b *rawBlock) checksum() uint32 {
	sum, at := uint32(0), 0
	for _, r := range b.runs {
		sum = updateChecksum(sum, b.rest[at:r.at])
		sum = joinChecksums(sum, runChecksum(r.value, r.length), r.length)
		at = r.at
	}
	return updateChecksum(sum, b.rest[at:])
}

// encode appends a block's frame to dst.
func (e *Encoder) encode(dst []byte, b *rawBlock) ([]byte, *Report) {
	report := &Report{Level: e.level, Size: b.size, Offset: b.offset, Rest: b.rest}
	payload := make([]byte, 0, len(b.rest)/4+64)
	if len(b.runs) > 0 {
		payload = appendRuns(payload, len(b.rest), b.runs)
	}
	prefix := len(payload)
	payload = e.encodeRest(payload, b, report)
	h := frameHeader{method: byte(report.Method), size: b.size, offset: b.offset, payload: len(payload), content: b.checksum()}
	if len(b.runs) > 0 {
		h.method |= withRuns
	}
	start := len(dst)
	dst = append(h.append(dst), payload...)
	dst = appendSum(dst, checksum(dst[start:]))
	report.Payload, report.Stored = payload[prefix:], uint64(len(dst)-start)
	return dst, report
}

// bothWays is how often a block that a morph was chosen for is coded without it
// too: one block in so many. The smaller is kept.
const bothWays = 64

// tryPlain says whether it is a block's turn. From Dense on, where coding takes
// long, it is the last of 64: a small file has none.
func (l Level) tryPlain(number uint64) bool {
	turn := uint64(0)
	if l.serial() {
		turn = bothWays - 1
	}
	return number%bothWays == turn
}

// encodeRest appends what is left of a block, coded by the method that is
// estimated to take the fewest bits.
func (e *Encoder) encodeRest(dst []byte, b *rawBlock, report *Report) []byte {
	block, start := b.rest, len(dst)
	if len(block) == 0 {
		report.Method = Stored
		return dst
	}
	report.Methods = plans[e.level]
	s := newSample(block, e.level)
	for _, m := range report.Methods {
		bits, header := m.of().estimate(e.level, s)
		report.Bits, report.Headers = append(report.Bits, bits), append(report.Headers, header)
	}
	chosen, coded := 0, false
	for !coded {
		chosen = equations.MorphChoice(report.Bits, report.Headers)
		dst, coded = report.Methods[chosen].of().encode(e.level, dst[:start], block)
		if !coded && chosen == 0 {
			break
		} else if !coded { // it does not fit, whatever was estimated
			report.Bits[chosen] = 16 * float64(len(block)+1)
		}
	}
	report.Chosen, report.Method = chosen, report.Methods[chosen]
	morphed := len(dst) - start
	doubtful := 8*float64(morphed) > 0.95*(report.Bits[0]+report.Headers[0])
	if coded && chosen != 0 && (doubtful || e.level.tryPlain(b.number)) {
		// Behind the morphed one, to keep the smaller.
		all, ok := report.Methods[0].of().encode(e.level, dst, block)
		plain := len(all) - len(dst)
		if ok {
			report.Plain = uint64(min(plain, len(block)))
		}
		if ok && plain < morphed {
			dst = append(all[:start], all[start+morphed:]...)
			report.Method = report.Methods[0]
		} else {
			dst = all[:start+morphed]
		}
	}
	if !coded || len(dst)-start >= len(block) {
		report.Method = Stored
		dst = append(dst[:start], block...)
	}
	report.Coded = uint64(len(dst) - start)
	return dst
}

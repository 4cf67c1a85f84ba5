package morphzip

import (
	"fmt"
	"strconv"
)

// Level says how much time and memory goes into making a file smaller, from 1
// to 9. What was made at any level is read back alike.
type Level int

// The levels that have names.
const (
	Fastest Level = 1 // zstd, as fast as it goes
	Default Level = 3 // log lines as templates and columns, ≥ 30 MB/s
	Dense   Level = 7 // context mixing in ≤ 64 MB of memory, for large logs
	Densest Level = 9 // the smallest files, slowly
)

const mebi = 1 << 20

// MaxBlock bounds the bytes of a block that are coded: the block without its
// long runs. No reader allocates more than a small multiple of it.
const MaxBlock = 64 * mebi

var blockSizes = [...]int{1: mebi, mebi, mebi, 2 * mebi, 4 * mebi, 4 * mebi, 2 * mebi, 16 * mebi, 32 * mebi}

// Valid says whether there is such a level.
func (l Level) Valid() bool { return l >= 1 && int(l) < len(blockSizes) }

// BlockSize is the size, in bytes, of a block at this level.
func (l Level) BlockSize() int { return blockSizes[l] }

// serial says whether a level's blocks are coded one at a time, for their memory.
func (l Level) serial() bool { return l >= Dense }

// String is "-3".
func (l Level) String() string { return "-" + strconv.Itoa(int(l)) }

func (l Level) check() error {
	if !l.Valid() {
		return fmt.Errorf("morphzip: level %d: levels are 1 to %d", int(l), len(blockSizes)-1)
	}
	return nil
}

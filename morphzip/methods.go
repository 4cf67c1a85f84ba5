package morphzip

import "fmt"

// Method is how a block is coded: a morph and the coder after it. Its number
// stands in the block's frame and means the same for ever.
type Method uint8

// The methods of version 1.
const (
	Stored        Method = 0 // the bytes as they are; also of blocks that are runs only
	Zstd          Method = 1 // identity, zstd
	OrderZero     Method = 2 // identity, Huffman's code of order 0
	Mixing        Method = 3 // identity, context mixing
	LogLine       Method = 4 // log lines as templates and typed columns
	DenseLines    Method = 5 // the same, by context mixing
	DensestBytes  Method = 6 // the densest
	ColumnsZstd   Method = 7 // records of a fixed width by columns, zstd
	ColumnsMixing Method = 8
	X86Zstd       Method = 9 // x86 code, with branch targets made absolute, zstd
	X86Mixing     Method = 10
)

// method is an entry of the table of methods.
type method struct {
	name string
	// encode appends the block's payload to dst; ok is false where the method
	// does not fit the block, or gains nothing.
	encode func(e *Encoder, dst, block []byte) (out []byte, ok bool)
	// decode appends the size bytes of the block to dst, or fails.
	decode func(dst, payload []byte, size int) ([]byte, error)
	// estimate gives the bits of the payload, and of the morph's header within.
	estimate func(e *Encoder, block []byte) (bits, header float64)
}

// methods is the table, by number.
var methods [16]*method

func init() {
	methods = [16]*method{
		Stored: {"stored", encodeStored, decodeStored, estimateStored},
		Zstd:   {"zstd", encodeZstd, decodeZstd, estimateZstd},
	}
}

// of is the method's entry; nil where this program has none.
func (m Method) of() *method {
	if int(m) >= len(methods) {
		return nil
	}
	return methods[m]
}

// String is the method's name.
func (m Method) String() string {
	if t := m.of(); t != nil {
		return t.name
	}
	return fmt.Sprintf("method %d", uint8(m))
}

// Identity says whether the method codes the block in the shape it has.
func (m Method) Identity() bool { return m <= Mixing }

func encodeStored(_ *Encoder, dst, block []byte) ([]byte, bool) { return append(dst, block...), true }

func decodeStored(dst, payload []byte, size int) ([]byte, error) {
	if len(payload) != size {
		return dst, corrupt("a stored block's length")
	}
	return append(dst, payload...), nil
}

func estimateStored(_ *Encoder, block []byte) (bits, header float64) {
	return 8 * float64(len(block)), 0
}

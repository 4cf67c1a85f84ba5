package morphzip

import (
	"fmt"

	"github.com/entroos/entroos/morphzip/dense"
	"github.com/entroos/entroos/morphzip/densest"
	"github.com/entroos/entroos/morphzip/logline"
	"github.com/entroos/entroos/morphzip/mixing"
)

// Method is how a block is coded: a morph and the coder after it. Its number
// stands in the block's frame and means the same for ever.
type Method uint8

// The methods of version 1.
const (
	Stored         Method = 0 // the bytes as they are; also of blocks that are runs only
	Zstd           Method = 1 // identity, zstd
	OrderZero      Method = 2 // identity, asymmetric numeral systems of order 0
	Mixing         Method = 3 // identity, context mixing
	LogLine        Method = 4 // log lines as templates and typed columns
	DenseLines     Method = 5 // the same, by context mixing
	DensestBytes   Method = 6 // the densest
	ColumnsZstd    Method = 7 // records of a fixed width by columns, zstd
	ColumnsMixing  Method = 8
	X86Zstd        Method = 9 // x86 code, with branch targets made absolute, zstd
	X86Mixing      Method = 10
	ColumnsDensest Method = 11
	X86Densest     Method = 12
)

// plans are the methods that are considered at each level, the identity first.
var plans = [...][]Method{
	1: {Zstd, Stored, OrderZero},
	2: {Zstd, Stored, OrderZero, ColumnsZstd, X86Zstd},
	3: {Zstd, Stored, OrderZero, LogLine, ColumnsZstd, X86Zstd},
	4: {Zstd, Stored, OrderZero, LogLine, ColumnsZstd, X86Zstd},
	5: {Zstd, Stored, OrderZero, LogLine, ColumnsZstd, X86Zstd},
	6: {Zstd, Stored, OrderZero, LogLine, ColumnsZstd, X86Zstd},
	7: {Mixing, Stored, DenseLines, ColumnsMixing, X86Mixing},
	8: {Mixing, Stored, DenseLines, ColumnsMixing, X86Mixing},
	9: {Mixing, Stored, DensestBytes, ColumnsDensest, X86Densest},
}

// method is an entry of the table of methods.
type method struct {
	name string
	// encode appends the block's payload to dst; ok is false where the method
	// does not fit the block, or gains nothing.
	encode encoder
	// decode appends the size bytes of the block to dst, or fails.
	decode decoder
	// estimate gives the bits of the payload, and of the morph's header within.
	estimate estimator
}

// methods is the table, by number.
var methods [16]*method

func init() {
	methods = [16]*method{
		Stored:         {"stored", encodeStored, decodeStored, estimateStored},
		Zstd:           {"zstd", encodeZstd, decodeZstd, estimateZstd},
		OrderZero:      {"order-0", encodeOrderZero, decodeOrderZero, estimateOrderZero},
		Mixing:         {"mixing", encodeMixing, mixing.Decode, estimateMixing},
		LogLine:        {"log lines", encodeLogLine, logline.Decode, estimateLogLine},
		DenseLines:     {"dense lines", encodeDense, dense.Decode, estimateDense},
		DensestBytes:   {"densest", encodeDensest, densest.Decode, estimateDensest},
		ColumnsZstd:    columnsMorph.method("columns, zstd", encodeZstd, encodeZstdFast, estimateZstd, decodeZstd),
		ColumnsMixing:  columnsMorph.method("columns, mixing", encodeMixing, encodeMixing, estimateMixing, mixing.Decode),
		X86Zstd:        x86Morph.method("x86, zstd", encodeZstd, encodeZstdFast, estimateZstd, decodeZstd),
		ColumnsDensest: columnsMorph.method("columns, densest", encodeDensest, encodeMixing, estimateDensest, densest.Decode),
		X86Densest:     x86Morph.method("x86, densest", encodeDensest, encodeMixing, estimateDensest, densest.Decode),
		X86Mixing:      x86Morph.method("x86, mixing", encodeMixing, encodeMixing, estimateMixing, mixing.Decode),
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

package morphzip

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/fse"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/morphzip/dense"
	"github.com/entroos/entroos/morphzip/densest"
	"github.com/entroos/entroos/morphzip/logline"
	"github.com/entroos/entroos/morphzip/mixing"
)

func encodeStored(_ Level, dst, block []byte) ([]byte, bool) { return append(dst, block...), true }

func decodeStored(dst, payload []byte, size int) ([]byte, error) {
	if len(payload) != size {
		return dst, corrupt("a stored block's length")
	}
	return append(dst, payload...), nil
}

func estimateStored(_ Level, s *sample) (bits, header float64) {
	return float64(8 * uint64(len(s.block))), 0
}

// encodeOrderZero codes the bytes by their frequencies, where they are not alike.
func encodeOrderZero(_ Level, dst, block []byte) ([]byte, bool) {
	coded, err := fse.Compress(block, nil)
	if err != nil { // nothing to gain, or one byte only
		return dst, false
	}
	return append(dst, coded...), true
}

func decodeOrderZero(dst, payload []byte, size int) ([]byte, error) {
	s := &fse.Scratch{DecompressLimit: size + 1}
	b, err := fse.Decompress(payload, s)
	if err != nil {
		return dst, fmt.Errorf("morphzip: order 0: %w: %w", err, ErrCorrupt)
	}
	if len(b) != size {
		return dst, corrupt("an order-0 block's length")
	}
	return append(dst, b...), nil
}

// orderZeroTable is about what the table of frequencies takes, in bits.
const orderZeroTable = 8 * 150

func estimateOrderZero(_ Level, s *sample) (bits, header float64) {
	var h equations.Histogram
	h.Add(s.bytes)
	// The tables' rounding costs about a two hundredth.
	bound := equations.OrderZeroBound(uint64(len(s.bytes)), equations.ShannonEntropy(h[:]))
	return s.bits(int(bound) + int(bound)/200), orderZeroTable
}

func encodeMixing(level Level, dst, block []byte) ([]byte, bool) {
	return mixing.Encode(dst, block, int(level))
}

func estimateMixing(level Level, s *sample) (bits, header float64) {
	if s.byMixing == 0 {
		s.byMixing = s.learned(func(b []byte) int {
			coded, _ := encodeMixing(level, nil, b)
			return len(coded)
		})
	}
	return s.byMixing, 0
}

func encodeLogLine(level Level, dst, block []byte) ([]byte, bool) {
	return logline.Encode(dst, block, logLineEffort(level))
}

func logLineEffort(level Level) int {
	if level > Default {
		return logline.Dense
	}
	return logline.Default
}

func estimateLogLine(_ Level, s *sample) (bits, header float64) {
	coded, ok := logline.Encode(nil, s.bytes, logline.Fast)
	if !ok {
		return s.unfit(), 0
	}
	return s.bits(len(coded)), 0
}

func encodeDense(level Level, dst, block []byte) ([]byte, bool) {
	return dense.Encode(dst, block, int(level))
}

func estimateDense(level Level, s *sample) (bits, header float64) {
	fits := true
	bits = s.learned(func(b []byte) int {
		coded, ok := encodeDense(level, nil, b)
		fits = fits && ok
		return len(coded)
	})
	if !fits {
		return s.unfit(), 0
	}
	return bits, 0
}

func encodeDensest(_ Level, dst, block []byte) ([]byte, bool) { return densest.Encode(dst, block) }

// estimateDensest: it has the contexts that mixing has, and more. To code a
// sample takes long, and shows less than a tenth of them.
func estimateDensest(level Level, s *sample) (bits, header float64) {
	bits, header = estimateMixing(level, s)
	return float64(uint64(bits) / 10 * 9), header
}

// asCorrupt makes an error of any decoder ErrCorrupt.
func asCorrupt(err error) error {
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrVersion) {
		return err
	}
	return fmt.Errorf("morphzip: %w: %w", err, ErrCorrupt)
}

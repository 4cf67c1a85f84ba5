package morphzip

import (
	"bytes"
	"io"
	"testing"
)

// FuzzReader reads hostile files: whatever comes out, the readers agree.
func FuzzReader(f *testing.F) {
	for _, content := range contents() {
		if len(content) < 10_000 {
			f.Add(compress(f, content, Options{Level: 2, BlockSize: minBlockSize}))
		}
	}
	file, _, _ := small(f)
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Fuzz(func(t *testing.T, file []byte) {
		const limit = 4 * mebi // a few bytes may be a run of a terabyte
		streamed, err := io.ReadAll(io.LimitReader(NewReader(bytes.NewReader(file)), limit))
		opened, openErr := Open(bytes.NewReader(file), int64(len(file)))
		if opened == nil {
			return
		}
		size := min(opened.Size(), limit)
		read := make([]byte, size)
		n, readErr := opened.ReadAt(read, 0)
		if err == nil && uint64(len(streamed)) != size {
			t.Errorf("%d bytes in a stream, %d by the index (%v)", len(streamed), size, openErr)
		}
		if common := min(n, len(streamed)); !bytes.Equal(read[:common], streamed[:common]) {
			t.Errorf("other bytes in a stream than by the index: %v", readErr)
		}
		if opened.Size() > limit {
			return
		}
		if _, err := Recover(io.Discard, bytes.NewReader(file), int64(len(file))); err != nil && len(opened.Blocks()) > 0 && err != errGivenUp {
			t.Errorf("recovery: %v", err)
		}
	})
}

// FuzzDecode reads a hostile block, in the payload's place of a frame that is right.
func FuzzDecode(f *testing.F) {
	f.Add(byte(Zstd), uint32(10), []byte{1, 2, 3})
	f.Add(byte(Stored|withRuns), uint32(100_000), appendRuns(nil, 0, []run{{0, 100_000, 0}}))
	f.Add(byte(OrderZero), uint32(100), []byte{1, 2, 3})
	for level := Fastest; level <= Densest; level++ {
		e, err := NewEncoder(Options{Level: level})
		if err != nil {
			f.Fatal(err)
		}
		for _, content := range contents() {
			if len(content) == 0 || len(content) > 30_000 || level >= Dense && len(content) > 6000 {
				continue
			}
			frame, _, err := ParseFrame(e.Encode(nil, content))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(frame.Method), uint32(len(content)), frame.Payload)
		}
	}
	f.Fuzz(func(t *testing.T, method byte, size uint32, payload []byte) {
		size %= 2 * mebi
		if m := Method(method &^ withRuns); m == Mixing || m > LogLine {
			size %= 4 << 10 // which take long, in proportion to the size, for whatever bytes
		}
		h := frameHeader{method: method, size: uint64(size), payload: len(payload)}
		frame := append(h.append(nil), payload...)
		frame = appendSum(frame, checksum(frame))
		got, err := Decode([]byte("before"), frame, mebi)
		if !bytes.HasPrefix(got, []byte("before")) {
			t.Error("what was there before is gone")
		}
		if err == nil && checksum(got[len("before"):]) != 0 {
			t.Error("the content's checksum was not compared")
		}
	})
}

// FuzzWriterRoundTrip writes any bytes at any level and block size.
func FuzzWriterRoundTrip(f *testing.F) {
	for _, content := range contents() {
		if len(content) < 200_000 {
			f.Add(content, uint8(3), uint16(8192))
		}
	}
	f.Fuzz(func(t *testing.T, content []byte, level uint8, size uint16) {
		file := compress(t, content, Options{Level: Level(level%9) + 1, BlockSize: max(minBlockSize, int(size))})
		got, err := io.ReadAll(NewReader(bytes.NewReader(file)))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes came back as %d: %v", len(content), len(got), err)
		}
	})
}

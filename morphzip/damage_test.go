package morphzip

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
)

// small is a file of three blocks and two parts, with runs, and its content.
func small(t testing.TB) (file, content []byte, blocks []Block) {
	t.Helper()
	first := slices.Concat(logLines(40), make([]byte, 2*minRun), logLines(3))
	second := bytes.Repeat([]byte("once again and again\n"), 200)
	file = compress(t, first, Options{Level: 2, BlockSize: minBlockSize})
	file = append(file, compress(t, second, Options{Level: Fastest})...)
	content = slices.Concat(first, second)
	f, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Blocks()) < 3 {
		t.Fatalf("%d blocks", len(f.Blocks()))
	}
	return file, content, f.Blocks()
}

func TestALostBlockBeforeAnotherPart(t *testing.T) {
	a, b := []byte("the first part"), []byte("the second")
	file := compress(t, a, Options{})
	file[headerLength+minFrame] ^= 1
	file = append(file, compress(t, b, Options{})...)
	var out bytes.Buffer
	r, err := Recover(&out, bytes.NewReader(file), int64(len(file)))
	if err != nil || !bytes.Equal(out.Bytes(), b) || len(r.Lost) != 1 {
		t.Errorf("%q, %v, %+v", out.Bytes(), err, r)
	}
}

func TestEveryTruncationIsFound(t *testing.T) {
	file, content, _ := small(t)
	first := bytes.LastIndex(file, []byte{lead, letterHeader, 'Z', version}) // where the second part begins
	for n := range file {
		got, err := io.ReadAll(NewReader(bytes.NewReader(file[:n])))
		if !bytes.HasPrefix(content, got) {
			t.Fatalf("of %d bytes: wrong content", n)
		}
		wrong := !errors.Is(err, io.ErrUnexpectedEOF)
		switch {
		case n < 3:
			wrong = !errors.Is(err, ErrFormat)
		case n == first:
			wrong = err != nil
		case n > first && n < first+3:
			wrong = !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrTrailing)
		}
		if wrong {
			t.Errorf("of %d bytes: %v", n, err)
		}
		f, err := Open(bytes.NewReader(file[:n]), int64(n))
		if n != first && err == nil {
			t.Errorf("of %d bytes: it opens", n)
		}
		if f != nil {
			got, err := io.ReadAll(io.NewSectionReader(f, 0, int64(f.Size())))
			if err != nil || !bytes.HasPrefix(content, got) {
				t.Errorf("of %d bytes: what is left is wrong: %v", n, err)
			}
		}
		var out bytes.Buffer
		if r, err := Recover(&out, bytes.NewReader(file[:n]), int64(n)); n > headerLength && (err != nil || r.Complete() && n != first) {
			t.Errorf("of %d bytes: recovery: %v", n, err)
		}
		if !bytes.HasPrefix(content, out.Bytes()) {
			t.Errorf("of %d bytes: wrong content recovered", n)
		}
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	file, content, _ := small(t)
	for i := range file {
		for _, bit := range []int{0, i % 7, 7} {
			bad := bytes.Clone(file)
			bad[i] ^= 1 << bit
			got, err := io.ReadAll(NewReader(bytes.NewReader(bad)))
			if err == nil || !bytes.HasPrefix(content, got) {
				t.Errorf("byte %d bit %d: %d bytes, %v", i, bit, len(got), err)
			}
			f, err := Open(bytes.NewReader(bad), int64(len(bad)))
			if err == nil {
				got, err = io.ReadAll(io.NewSectionReader(f, 0, int64(f.Size())))
				if err == nil && !bytes.Equal(got, content) {
					t.Errorf("byte %d bit %d: wrong content by the index", i, bit)
				}
			}
		}
	}
}

// TestWhatIsIntactIsRecovered damages each byte, and each block's whole.
func TestWhatIsIntactIsRecovered(t *testing.T) {
	file, content, blocks := small(t)
	without := func(i int) []byte { // the content without the block that file[i] is of
		for _, b := range blocks {
			if p := int64(i); p >= b.Position && p < b.Position+b.Length {
				return slices.Concat(content[:b.Offset], content[b.Offset+b.Size:])
			}
		}
		return content
	}
	try := func(bad, want []byte, what string, i int) {
		t.Helper()
		var out bytes.Buffer
		r, err := Recover(&out, bytes.NewReader(bad), int64(len(bad)))
		if err != nil || !bytes.Equal(out.Bytes(), want) || r.Bytes != uint64(len(want)) {
			t.Fatalf("%s at %d: %d bytes for %d: %v", what, i, out.Len(), len(want), err)
		}
		if lost := len(content) - len(want); lost > 0 {
			if len(r.Lost) != 1 || r.Lost[0].Size != 0 && r.Lost[0].Size != uint64(lost) {
				t.Fatalf("%s at %d: %d bytes are lost: %+v", what, i, lost, r.Lost)
			}
		}
	}
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 0x55
		try(bad, without(i), "damage", i)
		// And without the indexes' help.
		bad[len(bad)-1] ^= 0x55
		var out bytes.Buffer
		if _, err := Recover(&out, bytes.NewReader(bad), int64(len(bad))); err != nil || !bytes.Equal(out.Bytes(), without(i)) {
			t.Fatalf("damage at %d, no index: %d bytes for %d: %v", i, out.Len(), len(without(i)), err)
		}
	}
	for i, b := range blocks {
		gone := slices.Concat(file[:b.Position], file[b.Position+b.Length:])
		try(gone, without(int(b.Position)), "a missing block", i)
		noise := bytes.Clone(file)
		copy(noise[b.Position:b.Position+b.Length], random(int(b.Length)))
		try(noise, without(int(b.Position)), "an overwritten block", i)
	}
}

func TestASearchForBlocksEnds(t *testing.T) {
	// Headers that each promise a block as long as the file, over and over.
	h := frameHeader{method: byte(Stored), size: mebi, payload: mebi}
	bad := bytes.Repeat(h.append(nil), 200_000)
	var out bytes.Buffer
	_, err := Recover(&out, bytes.NewReader(bad), int64(len(bad)))
	if !errors.Is(err, errGivenUp) || out.Len() > 0 {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
}

func TestWhatFollowsAFileIsTold(t *testing.T) {
	file, content, _ := small(t)
	got, err := io.ReadAll(NewReader(bytes.NewReader(append(file, "and more"...))))
	if !errors.Is(err, ErrTrailing) || !bytes.Equal(got, content) {
		t.Errorf("%d of %d bytes, %v", len(got), len(content), err)
	}
}

func TestNewerFilesAreRefused(t *testing.T) {
	file := compress(t, []byte("content"), Options{Level: Fastest})
	newer := bytes.Clone(file)
	newer[3] = version + 1
	if _, err := io.ReadAll(NewReader(bytes.NewReader(newer))); !errors.Is(err, ErrVersion) {
		t.Errorf("a newer version: %v", err)
	}
	if f, err := Open(bytes.NewReader(newer), int64(len(newer))); f != nil || !errors.Is(err, ErrVersion) {
		t.Errorf("a newer version: %v", err)
	}
	newer = bytes.Clone(file)
	newer[headerLength+2] = 0x7F // the method; with the checksum
	f, _, err := ParseFrame(newer[headerLength:])
	_ = f
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("without its checksum: %v", err)
	}
	end := len(file) - minEnd - 1 - sumLength
	newer = appendSum(newer[:end], checksum(newer[headerLength:end]))
	if _, err := io.ReadAll(NewReader(bytes.NewReader(newer))); !errors.Is(err, ErrVersion) {
		t.Errorf("a newer method: %v", err)
	}
}

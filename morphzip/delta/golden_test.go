package delta

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden patch anew: only when the format's version rises")

// goldenFiles are two small files with a program, moved text and other bytes.
func goldenFiles() (old, new []byte) {
	image := smallImage()
	text := bytes.Repeat([]byte("a line of the old file, and\n"), 40)
	old = append(append(bytes.Clone(text), image...), random(7, 500)...)
	moved := append(bytes.Clone(image[:0x114]), 0x90, 0x90)
	moved = append(moved, image[0x116:]...)
	new = append(append([]byte("what was not there\n"), text[:900]...), moved...)
	return old, append(append(new, random(7, 400)...), random(8, 60)...)
}

// Patches that were made once make the same file for ever, and are made again.
func TestGoldenPatch(t *testing.T) {
	const path = "testdata/version1.mzd"
	old, new := goldenFiles()
	patch := roundTrip(t, old, new)
	if *update {
		if err := os.WriteFile(path, patch, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Decode(&out, bytes.NewReader(old), int64(len(old)), bytes.NewReader(golden)); err != nil || !bytes.Equal(out.Bytes(), new) {
		t.Errorf("the patch of version 1 makes %d bytes, %v", out.Len(), err)
	}
	if !bytes.Equal(patch, golden) {
		t.Errorf("the same files make another patch, of %d bytes and not of %d", len(patch), len(golden))
	}
}

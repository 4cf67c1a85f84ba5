package delta

import (
	"bytes"
	"testing"
)

// roundTrip encodes and decodes, and returns the patch.
func roundTrip(t interface {
	Helper()
	Fatal(...any)
}, old, new []byte,
) []byte {
	t.Helper()
	var patch, out bytes.Buffer
	if err := Encode(&patch, bytes.NewReader(old), int64(len(old)), bytes.NewReader(new), int64(len(new))); err != nil {
		t.Fatal(err)
	}
	if err := Decode(&out, bytes.NewReader(old), int64(len(old)), bytes.NewReader(patch.Bytes())); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), new) {
		t.Fatal("another file came out")
	}
	return patch.Bytes()
}

func TestEdges(t *testing.T) {
	texts := [][]byte{nil, {0}, []byte("a"), bytes.Repeat([]byte("abc "), 5000), make([]byte, 100_000)}
	for _, old := range texts {
		for _, new := range texts {
			roundTrip(t, old, new)
		}
	}
}

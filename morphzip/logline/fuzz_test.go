package logline

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func FuzzRoundTrip(f *testing.F) {
	for _, e := range edges {
		f.Add([]byte(e), uint8(Default))
	}
	f.Fuzz(func(t *testing.T, block []byte, effort uint8) {
		checkTable(t, block)
		checkCode(t, block, int(effort%(Dense+1)))
	})
}

// plain is the payload with its head as it is, so that a change of it is a change
// of what it says.
func plain(t testing.TB, payload []byte) []byte {
	d := new(decoder)
	d.meta = payload
	meta, _ := d.varint(maxBlock)
	text, _ := d.varint(maxBlock)
	coded, err := d.varint(maxBlock << 3)
	if err != nil || coded>>3 > len(d.meta) {
		t.Fatal("not a payload")
	}
	b, err := d.bytes.decode(d.meta[:coded>>3], coded&7, meta+text)
	if err != nil {
		t.Fatal(err)
	}
	out := binary.AppendUvarint(nil, uint64(meta))
	out = binary.AppendUvarint(out, uint64(text))
	out = binary.AppendUvarint(out, uint64(len(b))<<3) // bytesStored is 0
	return append(append(out, b...), d.meta[coded>>3:]...)
}

// FuzzDecode gives the decoder payloads, with what is before and in the coded
// head changed, so that it sees more than a head that cannot be decoded.
func FuzzDecode(f *testing.F) {
	for _, e := range edges {
		if out, ok := Encode(nil, []byte(e), Default); ok {
			f.Add(out, uint32(len(e)))
			f.Add(plain(f, out), uint32(len(e)))
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte, size uint32) {
		size &= 1<<20 - 1
		out, err := Decode(nil, payload, int(size))
		if err == nil && len(out) != int(size) {
			t.Fatalf("%d bytes, want %d", len(out), size)
		}
		if err == nil {
			again, ok := Encode(nil, out, Default)
			if !ok {
				return
			}
			if got, err := Decode(nil, again, len(out)); err != nil || !bytes.Equal(got, out) {
				t.Fatalf("%q does not come back: %v", out, err)
			}
		}
		if c, err := Open(payload, int(size)); err == nil {
			for i := range c.Columns() {
				if _, err := c.Column(i); err != nil {
					break
				}
			}
			_, _ = c.MayContain([]byte("17"))
		}
	})
}

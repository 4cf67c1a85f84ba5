package store

import (
	"bytes"
	"testing"
	"time"
)

// FuzzUnit reads headers and payloads that may be anything.
func FuzzUnit(f *testing.F) {
	var c codec
	if err := c.init(); err != nil {
		f.Fatal(err)
	}
	var b body
	b.add(Entry{Sequence: 7, Time: time.UnixMicro(5), Kind: Stdout, Data: []byte("one\ntwo")})
	b.add(Entry{Sequence: 9, Time: time.UnixMicro(3), Kind: Stderr, Data: bytes.Repeat([]byte("three\n"), 9)})
	h, payload, err := c.encodeBatch(&b, dictionary{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(h.append(nil), payload)
	encoder, err := newBlockEncoder(levelBlock, new(facts))
	if err != nil {
		f.Fatal(err)
	}
	h, payload = encoder.encode(&b)
	f.Add(h.append(nil), payload)
	parts, _ := b.encode()
	f.Add(h.append(nil), bytes.Join(parts, nil))
	f.Fuzz(func(t *testing.T, raw, payload []byte) {
		h, err := parseHeader(7, raw)
		if err != nil {
			return
		}
		// It must not panic.
		if b, err := decodeBody(payload, &h); err == nil && b.len() != int(h.entries) {
			t.Errorf("%d entries of %d", b.len(), h.entries)
		}
		h.payload = uint64(len(payload))
		_, _ = c.decode(unit{header: &h, payload: payload})
	})
}

// FuzzEntries has entries come back as they were.
func FuzzEntries(f *testing.F) {
	var c codec
	if err := c.init(); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("one\ntwo"), uint8(3), uint8(2), int64(5))
	f.Add([]byte{0, 0xff, '\r', '\n', '\n'}, uint8(1), uint8(200), int64(-1))
	f.Fuzz(func(t *testing.T, data []byte, step, kinds uint8, at int64) {
		var b body
		for i := 0; i < len(data) && i < 1000; i += int(step)%7 + 1 {
			end := min(i+int(step)%7+1, len(data))
			b.add(Entry{Sequence: uint64(i + 1), Time: time.UnixMicro(at % (1 << 50) * int64(i%3)), Kind: uint8(i) % (kinds/2 + 1), Data: data[i:end]})
		}
		if b.len() == 0 {
			return
		}
		encoder, err := newBlockEncoder(levelBlock, new(facts))
		if err != nil {
			t.Fatal(err)
		}
		batch, batchPayload, err := c.encodeBatch(&b, dictionary{})
		if err != nil {
			t.Fatal(err)
		}
		block, blockPayload := encoder.encode(&b)
		for _, u := range []unit{{header: &batch, payload: batchPayload}, {header: &block, payload: blockPayload}} {
			h, err := parseHeader(u.header.first, u.header.append(nil))
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.decode(unit{header: &h, payload: u.payload})
			if err != nil || got.len() != b.len() {
				t.Fatal(err)
			}
			for i := range b.len() {
				w, g := b.entry(i), got.entry(i)
				if g.Sequence != w.Sequence || !g.Time.Equal(w.Time) || g.Kind != w.Kind || !bytes.Equal(g.Data, w.Data) {
					t.Fatalf("entry %d is %v, not %v", i, g, w)
				}
			}
		}
	})
}

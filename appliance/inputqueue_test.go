package appliance

import (
	"bytes"
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/nko"
)

func TestInputQueueKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 1000), 0, 50).Draw(t, "pieces")
		q := newInputQueue()
		nko.Go("writer", func() {
			for _, p := range pieces {
				q.put(p)
			}
			q.end()
			q.put([]byte("after the end"))
		})
		got, err := io.ReadAll(q)
		if err != nil || !bytes.Equal(got, bytes.Join(pieces, nil)) {
			t.Fatalf("%d bytes, error %v", len(got), err)
		}
	})
}

func TestInputQueueIsBounded(t *testing.T) {
	q := newInputQueue()
	done := make(chan struct{})
	nko.Go("writer", func() {
		defer close(done)
		for range 100 {
			q.put(make([]byte, 64<<10))
		}
	})
	if _, err := io.ReadFull(q, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	q.mu.Lock()
	n := len(q.data)
	q.mu.Unlock()
	if n > maxQueuedInput+64<<10 {
		t.Fatalf("%d bytes queued", n)
	}
	q.close() // frees the writer
	<-done
	if n, err := q.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read after close: %d %v", n, err)
	}
}

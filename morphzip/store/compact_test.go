package store

import (
	"math/rand"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

func TestCompaction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, Options{BlockSize: 32 << 10, CompactionShare: 1, CompactAfter: time.Nanosecond})
	r := rand.New(rand.NewSource(1))
	a := s.Appender("log")
	var want strings.Builder
	for i := range 4000 {
		line := logLine(r, i)
		want.WriteString(line)
		if err := a.Write(time.UnixMicro(int64(1000*i)), uint8(1+i%7/6), []byte(line)); err != nil {
			t.Fatal(err)
		}
		if i%500 == 0 {
			if err := a.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	young := func() int {
		st, err := s.stream("log", false)
		if err != nil {
			t.Fatal(err)
		}
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.young
	}
	eventually(t, "dense blocks", func() bool {
		tail, blocks := s.totals("log")
		return tail.original < 32<<10 && blocks.units > 0 && young() == 0
	})
	if _, blocks := s.totals("log"); blocks.units > 6 {
		t.Errorf("%d dense blocks", blocks.units)
	}
	if got := text(t, s, "log", all); got != want.String() {
		t.Errorf("%d bytes, not %d", len(got), want.Len())
	}
	checkFacts(t, s)
	infos, err := s.Streams()
	if err != nil || infos[0].Original != uint64(want.Len()) {
		t.Errorf("%+v, %v", infos, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if got := text(t, s, "log", all); got != want.String() {
		t.Errorf("%d bytes, not %d", len(got), want.Len())
	}
}

// TestCompactionMemory makes one dense block of the largest size.
func TestCompactionMemory(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store"), Options{CompactionShare: -1, CompactAfter: time.Nanosecond})
	r := rand.New(rand.NewSource(1))
	a := s.Appender("log")
	written := 0
	for i := 0; written < denseSize+denseSize/4; i++ {
		line := logLine(r, i)
		written += len(line)
		if err := a.Write(time.Now(), Stdout, []byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "blocks", func() bool { tail, _ := s.totals("log"); return tail.original < 1<<20 })
	debug.FreeOSMemory()
	before := taken()
	dense, err := newBlockEncoder(levelDense, &s.facts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.compactOne(dense); err != nil {
		t.Fatal(err)
	}
	after := taken()
	_, blocks := s.totals("log")
	t.Logf("%d MB, to %d bytes of %d", (after-before)>>20, blocks.stored, blocks.original)
	if after > before+64<<20 {
		t.Errorf("compaction took %d MB", (after-before)>>20)
	}
}

// taken is how much memory Go has of the kernel.
func taken() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapReleased
}

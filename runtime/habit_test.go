//go:build !guest

package runtime

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

// accessLog is n lines of a web server's log.
func accessLog(r *rand.Rand, n int) []byte {
	var b bytes.Buffer
	for range n {
		fmt.Fprintf(&b, "192.0.2.%d - - [23/Nov/2026:05:%02d:%02d +0000] \"GET /items/%d HTTP/1.1\" %d %d\n",
			r.IntN(256), r.IntN(60), r.IntN(60), r.IntN(100_000), []int{200, 200, 200, 304, 404}[r.IntN(5)], r.IntN(50_000))
	}
	return b.Bytes()
}

func TestHabitAndDrift(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h habit
	var turns []Drift
	note := func(d Drift) { turns = append(turns, d) }
	for range 20 {
		h.add("web", accessLog(r, 500), note)
	}
	if !h.drift.Known || h.drift.Drifted || h.drift.Divergence >= driftBound/3 || len(turns) != 0 {
		t.Fatalf("of the same kind: %+v, turns %v", h.drift, turns)
	}
	// It begins to print what it should not.
	secrets := make([]byte, habitWindow)
	for i := range secrets {
		secrets[i] = byte(r.Uint32())
	}
	h.add("web", []byte(base64.StdEncoding.EncodeToString(secrets)), note)
	h.add("web", make([]byte, habitWindow), note)
	if len(turns) == 0 || !turns[0].Drifted || turns[0].Divergence <= driftBound {
		t.Fatalf("%+v, turns %v", h.drift, turns)
	}
	f := h.facts
	if f.Container != "web" || f.JensenShannon != equations.JensenShannon(f.Latest[:], f.History[:]) ||
		f.Divergence != equations.KullbackLeibler(f.Latest[:], f.History[:]) {
		t.Error("the facts do not recompute")
	}
	// As before again.
	for range 10 {
		h.add("web", accessLog(r, 500), note)
	}
	if last := turns[len(turns)-1]; last.Drifted || h.drift.Drifted {
		t.Errorf("%+v, turns %v", h.drift, turns)
	}
}

func TestHabitOfShortExecutions(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var h habit
	var turns []Drift
	note := func(d Drift) { turns = append(turns, d) }
	for range 10 { // each writes less than a window
		h.add("job", accessLog(r, 20), note)
		h.end("job", note)
	}
	if h.windows != 10 || len(turns) != 0 {
		t.Errorf("%d windows, turns %v", h.windows, turns)
	}
	h.add("job", bytes.Repeat([]byte("panic: \x00\x01\xff"), 200), note)
	h.end("job", note)
	if len(turns) != 1 || !turns[0].Drifted {
		t.Errorf("turns %v", turns)
	}
	windows := h.windows
	h.add("job", []byte("too little to tell"), note)
	h.end("job", note)
	if h.windows != windows {
		t.Error("judged by a few bytes")
	}
}

// One whose output varies by habit is left in peace.
func TestHabitOfVariedOutput(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var h habit
	drifted := 0
	for i := range 60 {
		data := accessLog(r, 300)
		if i%2 == 1 {
			data = bytes.Repeat([]byte{byte(r.Uint32()), byte(r.Uint32())}, habitWindow)
		}
		h.add("mixed", data, func(Drift) {
			if i > 20 {
				drifted++
			}
		})
	}
	if drifted > 0 {
		t.Errorf("%d alarms", drifted)
	}
}

func TestHabitStaysInItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h habit
		for range rapid.IntRange(1, 12).Draw(t, "pieces") {
			data := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "data"), rapid.IntRange(1, 2000).Draw(t, "times"))
			h.add("x", data, func(Drift) {})
			if rapid.Bool().Draw(t, "ends") {
				h.end("x", func(Drift) {})
			}
			if d := h.drift.Divergence; !(d >= 0 && d <= 1) || h.filled >= habitWindow {
				t.Fatalf("divergence %v, %d bytes in the window", d, h.filled)
			}
			if f := h.facts; f != nil && !(f.Divergence >= 0 && f.Divergence < 64) {
				t.Fatalf("D = %v", f.Divergence)
			}
		}
	})
}

func TestHabitsAreBounded(t *testing.T) {
	var all habits
	for i := range 3 * habitsKept {
		all.get(fmt.Sprint(i), [32]byte{byte(i), byte(i >> 8)})
	}
	if len(all.of) != habitsKept {
		t.Errorf("%d habits", len(all.of))
	}
	one := all.get("a", [32]byte{200, 7})
	if all.get("b", [32]byte{200, 7}) != one {
		t.Error("two executions of one workload have two habits")
	}
	all.forget("a")
	if all.by["a"] != nil || all.by["b"] != one {
		t.Error("forgot another")
	}
}

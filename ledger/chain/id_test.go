package chain

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/entroos/entroos/ledger"
)

func TestFind(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	var ps []string
	for range 20 {
		mustCommit(t, n, writer.next(t))
		ps = append(ps, hex.EncodeToString(writer.previous[:]))
	}
	unique := func(i, digits int) bool {
		for j, p := range ps {
			if j != i && p[:digits] == ps[i][:digits] {
				return false
			}
		}
		return true
	}
	for i, p := range ps {
		for _, id := range []string{p, strings.ToUpper(p), p[:40], p[:17], p[:7], fmt.Sprintf("#%d", i+1)} {
			c, err := n.Get(id)
			if len(id) == 7 && !unique(i, 7) {
				continue
			}
			if err != nil || c.Index != uint64(i) {
				t.Errorf("%s: leaf %d, %v", id, c.Index, err)
			}
		}
	}
	absent := "0000"
	for _, id := range []string{absent, "#21", "#0"} {
		if _, err := n.Get(id); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, id := range []string{"", "abc", "xyzt", "#", "#-1", "#x", ps[0] + "0", "12 34"} {
		if _, err := n.Get(id); !errors.Is(err, errID) {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := n.Export(t.Context(), id); !errors.Is(err, errID) {
			t.Errorf("export %q: %v", id, err)
		}
	}
	list, _, err := n.List(3, 10)
	if err != nil || len(list) != 3 || list[0].Index != 9 || list[2].Index != 7 {
		t.Errorf("got %v, %v", list, err)
	}
}

// Two receipts whose P begin alike are told apart, or said to be ambiguous.
func TestAmbiguousPrefix(t *testing.T) {
	writer := newTestNode(1)
	a := newTestApp(t, writer.id())
	seen := make(map[string]bool)
	var txs [][]byte
	shared := ""
	for shared == "" {
		txs = append(txs, writer.next(t))
		prefix := hex.EncodeToString(writer.previous[:2])
		if seen[prefix] {
			shared = prefix
		}
		seen[prefix] = true
	}
	a.block(txs...)
	err := a.store.view(func(v *view) error {
		_, err := v.resolve(shared, writer.id())
		return err
	})
	if !errors.Is(err, errID) || !strings.Contains(err.Error(), "more than one") {
		t.Errorf("got %v", err)
	}
}

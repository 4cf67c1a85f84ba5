package chain

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/entroos/entroos/ledger"
	"go.etcd.io/bbolt"
)

func TestSubmitRefuses(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	first := writer.next(t)
	mustCommit(t, n, first)
	second, third := writer.next(t), writer.next(t)
	fork := newTestNode(1)
	for name, c := range map[string]struct {
		raw    []byte
		reason string
	}{
		"malformed":    {second[:100], "malformed"},
		"empty":        {nil, "malformed"},
		"unknown node": {newTestNode(2).next(t), "not known"},
		"flipped":      {append(bytes.Clone(second[:len(second)-1]), second[len(second)-1]^1), "signature"},
		"conflict":     {resealed(t, fork.next(t), fork), "another receipt of this node stands under number 1"},
		"gap":          {third, "gap: receipt 3 of this node, but the next is 2"},
	} {
		if s := submit(t, n, c.raw); s.Outcome != ledger.Refused || !strings.Contains(s.Reason, c.reason) {
			t.Errorf("%s: %+v", name, s)
		}
	}
	mustCommit(t, n, second)
	mustCommit(t, n, third)
}

// Receipts offered at once, in any order, share blocks.
func TestSubmitMany(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	const count = 200
	heights := make(map[int64]int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	var raws [][]byte
	for range count {
		raws = append(raws, writer.next(t))
	}
	for i := range raws {
		wg.Go(func() {
			s := submit(t, n, raws[count-1-i])
			if s.Outcome != ledger.Committed {
				t.Errorf("receipt %d: %+v", count-i, s)
			}
			mu.Lock()
			defer mu.Unlock()
			heights[s.Height]++
		})
	}
	wg.Wait()
	if len(heights) > count/10 {
		t.Errorf("%d receipts took %d blocks", count, len(heights))
	}
	list, size, err := n.List(count+1, 0)
	if err != nil || size != count || len(list) != count {
		t.Fatalf("%d of %d receipts, %v", len(list), size, err)
	}
	for i, c := range list {
		if want := count - 1 - i; c.Index != uint64(want) || !bytes.Equal(c.Receipt, raws[want]) {
			t.Fatalf("receipt %d is not in its place", want+1)
		}
	}
	for _, id := range []string{"#1", "#100", "#200"} {
		mustProve(t, n, id)
	}
}

// While no block can be written, a submission is pending when its deadline is
// near, whether it waits for the block or cannot even get into the mempool.
func TestPending(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	mustCommit(t, n, writer.next(t))
	mustProve(t, n, "#1")
	release, held := make(chan struct{}), make(chan struct{})
	var stuck sync.WaitGroup
	stuck.Go(func() {
		err := n.file.Update(func(*bbolt.Tx) error {
			close(held)
			<-release
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-held
	raw := writer.next(t)
	for _, locked := range []bool{false, true} {
		if locked {
			n.offering.Lock()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		s, err := n.Submit(ctx, raw)
		if err != nil || s.Outcome != ledger.Pending || ctx.Err() != nil {
			t.Errorf("got %+v, %v, %v", s, err, ctx.Err())
		}
		cancel()
		if locked {
			n.offering.Unlock()
		}
	}
	close(release)
	stuck.Wait()
	mustCommit(t, n, raw)
}

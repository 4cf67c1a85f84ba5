package router

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"
)

// A tape deals out a fuzzer's bytes.
type tape []byte

func (t *tape) uint64() uint64 {
	var b [8]byte
	*t = (*t)[copy(b[:], *t):]
	return binary.LittleEndian.Uint64(b[:])
}

func (t *tape) byte() byte {
	if len(*t) == 0 {
		return 0
	}
	b := (*t)[0]
	*t = (*t)[1:]
	return b
}

// float returns any bits at all, or a value that makes sense.
func (t *tape) float() float64 {
	if b := t.byte(); b < 192 {
		return float64(b) / 191
	}
	return math.Float64frombits(t.uint64())
}

// amount returns any integer at all, or a small one.
func (t *tape) amount() int64 {
	if b := t.byte(); b < 224 {
		return int64(b)
	}
	return int64(t.uint64())
}

// FuzzPlace does whatever the bytes say to a cluster. Nothing panics, what is
// invalid is said to be and changes nothing, and all that holds between calls
// holds.
func FuzzPlace(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1, 100, 100, 150, 0, 1, 7, 100, 10, 10, 0, 0})
	f.Add([]byte("\x00\x00\x01\x64\x64\x96\x00\x01\xff\x00\x00\x00\x00\x00\x00\xf8\x7f\x0a"))
	f.Add([]byte("some bytes that are long enough to place a few replicas on a few nodes, and to release them"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := tape(data)
		config := DefaultConfig()
		if in.byte()%4 == 0 {
			config = Config{Weight: in.float(), Target: in.float(), Theta: in.float(), Largest: in.amount(), Aging: time.Duration(in.amount())}
		}
		if in.byte()%2 == 0 {
			config.SampleAbove, config.Quantile = 2, 0.5
			config.Confidence = 0.5
		}
		c, err := New(config)
		if err != nil {
			return
		}
		now := start
		for step := 0; len(in) > 0 && step < 60; step++ {
			before := fmt.Sprint(len(c.nodes), len(c.replicas), c.queue.len(), c.sequence)
			var err error
			switch in.byte() % 7 {
			case 0, 1:
				n := Node{ID: fmt.Sprint("n", in.byte()%12), CPU: in.amount(), Memory: in.amount(), Entropy: in.float(), Cordoned: in.byte() > 250}
				_, err = c.SetNodes(now, n)
			case 2, 3:
				r := in.replica(step)
				var d []Decision
				if d, err = c.Place(now, r); err == nil && d[0].Outcome == Placed && !(d[0].Score > c.config.Theta && d[0].Rank >= 0 && d[0].Rank <= 1) {
					t.Fatalf("%+v", d[0])
				}
			case 4:
				_, err = c.Release(now, fmt.Sprint("r", in.byte()%60))
			case 5:
				err = c.Adopt(now, in.replica(step), fmt.Sprint("n", in.byte()%12))
			case 6:
				if in.byte()%2 == 0 {
					_, _, err = c.RemoveNode(now, fmt.Sprint("n", in.byte()%12))
				} else {
					now = now.Add(time.Duration(in.amount()))
				}
			}
			if err != nil {
				if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnknownNode) && !errors.Is(err, ErrUnknownReplica) && !errors.Is(err, ErrDuplicate) {
					t.Fatal(err)
				}
				if after := fmt.Sprint(len(c.nodes), len(c.replicas), c.queue.len(), c.sequence); after != before {
					t.Fatalf("%v, but %s became %s", err, before, after)
				}
			}
			checkCluster(t, c)
		}
		for _, s := range c.Nodes() {
			sum := 0.0
			for i, share := range s.Shares {
				if sum += share.Entitlement; share.Replica != s.Replicas[i] {
					t.Fatalf("%+v", s)
				}
			}
			if len(s.Shares) > 0 && math.Abs(sum-c.config.Target) > 1e-9 {
				t.Fatalf("entitlements add up to %v, want T: %+v", sum, s)
			}
			for _, id := range s.Replicas {
				if _, err := c.Explain(id); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func (t *tape) replica(step int) Replica {
	r := Replica{ID: fmt.Sprint("r", step), CPU: t.amount(), Memory: t.amount(), Entropy: t.float(), Weight: t.amount()}
	if b := t.byte(); b%4 == 1 {
		r.Ports = []HostPort{{Protocol: "tcp", Port: uint16(b / 32)}}
	} else if b%4 == 2 {
		r.Constraints = []Constraint{{"node.id", b > 128, fmt.Sprint("n", b%12)}}
	}
	return r
}

// FuzzParseConstraint: what is read is written back so that it reads the same,
// and a constraint and its opposite never hold of the same node.
func FuzzParseConstraint(f *testing.F) {
	for _, s := range []string{"node.id==x", "node.hostname != y", "node.labels.a==b", "", "==", "node.labels.==!="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseConstraint(s)
		if err != nil {
			return
		}
		again, err := ParseConstraint(c.String())
		if err != nil || again != c {
			t.Fatalf("%q became %+v, and then %+v, %v", s, c, again, err)
		}
		n := Node{ID: "x", Hostname: "y", Labels: map[string]string{"a": "b"}}
		not := c
		not.Not = !not.Not
		if c.Holds(&n) == not.Holds(&n) {
			t.Fatalf("%v and %v both hold, or neither", c, not)
		}
	})
}

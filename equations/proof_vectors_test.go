package equations_test

import (
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

// The reference tree of the Certificate Transparency implementations, which
// is RFC 9162's: eight leaves, and the root over the first n of them.
var (
	referenceLeaves = []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	referenceRoots  = []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
)

func fromHex(t testing.TB, s string) (d equations.Digest) {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		t.Fatalf("%q is no digest: %v", s, err)
	}
	return equations.Digest(b)
}

// Row 46: the roots of the reference tree, from its leaves up.
func TestReferenceRoots(t *testing.T) {
	var leaves []equations.Digest
	for _, l := range referenceLeaves {
		data, err := hex.DecodeString(l)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, equations.MerkleLeaf(data))
	}
	for n := 1; n <= len(leaves); n++ {
		if got := root(leaves[:n]); got != fromHex(t, referenceRoots[n]) {
			t.Errorf("%d leaves: root %x, want %s", n, got, referenceRoots[n])
		}
	}
}

// root is RFC 9162 §2.1.1, written down a second time.
func root(leaves []equations.Digest) equations.Digest {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	return equations.MerkleNode(root(leaves[:k]), root(leaves[k:]))
}

// Row 48: consistency proofs of the reference tree.
func TestReferenceConsistency(t *testing.T) {
	for _, c := range []struct {
		first, second uint64
		path          []string
	}{
		{1, 1, nil},
		{0, 5, nil},
		{1, 8, []string{
			"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
			"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
		}},
		{6, 8, []string{
			"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
			"ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
			"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		}},
		{2, 5, []string{
			"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
		}},
	} {
		var path []equations.Digest
		for _, p := range c.path {
			path = append(path, fromHex(t, p))
		}
		first, second := fromHex(t, referenceRoots[c.first]), fromHex(t, referenceRoots[c.second])
		if err := equations.Consistent(c.first, c.second, first, second, path); err != nil {
			t.Errorf("%d to %d: %v", c.first, c.second, err)
		}
		if err := equations.Consistent(c.first, c.second, second, first, path); c.first != c.second && !errors.Is(err, equations.ErrConsistency) {
			t.Errorf("%d to %d with the roots exchanged: %v", c.first, c.second, err)
		}
		if err := equations.Consistent(c.first, c.second, first, second, append(path, first)); !errors.Is(err, equations.ErrConsistency) {
			t.Errorf("%d to %d with a hash too many: %v", c.first, c.second, err)
		}
	}
	if err := equations.Consistent(2, 1, equations.Digest{}, equations.Digest{}, nil); !errors.Is(err, equations.ErrConsistency) {
		t.Errorf("a shorter tree: %v", err)
	}
}

// Row 48, against another implementation of the tree: each proof holds, is
// within the bound, and with anything changed holds no more.
func TestConsistent(t *testing.T) {
	const largest = 130
	reader := tree(t, largest)
	roots := make([]equations.Digest, largest+1)
	for size := int64(1); size <= largest; size++ {
		h, err := tlog.TreeHash(size, reader)
		if err != nil {
			t.Fatal(err)
		}
		roots[size] = equations.Digest(h)
	}
	proof := func(t interface{ Fatal(...any) }, first, second int64) (path []equations.Digest) {
		hashes, err := tlog.ProveTree(second, first, reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hashes {
			path = append(path, equations.Digest(h))
		}
		return path
	}
	for second := int64(1); second <= largest; second++ {
		for first := int64(1); first <= second; first++ {
			path := proof(t, first, second)
			if len(path) > equations.ConsistencyBound(uint64(second)) {
				t.Fatalf("%d to %d: %d hashes", first, second, len(path))
			}
			if err := equations.Consistent(uint64(first), uint64(second), roots[first], roots[second], path); err != nil {
				t.Fatalf("%d to %d: %v", first, second, err)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		second := rapid.Int64Range(3, largest).Draw(t, "second")
		first := rapid.Int64Range(1, second-1).Draw(t, "first")
		path := proof(t, first, second)
		m, n, a, b := uint64(first), uint64(second), roots[first], roots[second]
		switch rapid.IntRange(0, 4).Draw(t, "change") {
		case 0:
			a[rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
		case 1:
			b[rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
		case 2:
			path[rapid.IntRange(0, len(path)-1).Draw(t, "hash")][0] ^= 1
		case 3:
			path = path[:rapid.IntRange(0, len(path)-1).Draw(t, "length")]
		case 4:
			m = rapid.Uint64Range(1, n).Filter(func(x uint64) bool { return x != m }).Draw(t, "other size")
		}
		if err := equations.Consistent(m, n, a, b, path); !errors.Is(err, equations.ErrConsistency) {
			t.Fatalf("the changed proof: %v", err)
		}
	})
}

// Row 45: however the writes are cut, the digest is that of the whole.
func TestOutputDigest(t *testing.T) {
	h := equations.NewOutputDigest()
	if got := hex.EncodeToString(h.Sum(nil)); got != referenceRoots[0] {
		t.Errorf("of nothing %s", got)
	}
	h.Write([]byte("a"))
	h.Write(nil)
	h.Write([]byte("bc")) // FIPS 180-4's example
	if got := hex.EncodeToString(h.Sum(nil)); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("of abc %s", got)
	}
}

// Row 49: more than two thirds, exactly.
func TestQuorum(t *testing.T) {
	for _, c := range []struct {
		power, total uint64
		want         bool
	}{
		{0, 0, false},
		{1, 1, true},
		{2, 3, false},
		{3, 3, true},
		{3, 4, true},
		{2, 4, false},
		{67, 100, true},
		{66, 100, false},
		{5, 4, false},
		{math.MaxUint64 / 3 * 2, math.MaxUint64, false},
		{math.MaxUint64/3*2 + 1, math.MaxUint64, true},
		{math.MaxUint64, math.MaxUint64, true},
	} {
		if got := equations.Quorum(c.power, c.total); got != c.want {
			t.Errorf("Quorum(%d, %d) = %v", c.power, c.total, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		// Two quorums share more than a third: with fewer faulty ones, an
		// honest validator.
		total := rapid.Uint64Range(1, 1<<40).Draw(t, "total")
		a, b := rapid.Uint64Range(0, total).Draw(t, "a"), rapid.Uint64Range(0, total).Draw(t, "b")
		if equations.Quorum(a, total) && equations.Quorum(b, total) && 3*(a+b-total) <= total {
			t.Fatalf("quorums of %d and %d of %d share %d", a, b, total, a+b-total)
		}
	})
}

// Row 50: n ≥ 3f+1, and one fault more would be too many.
func TestByzantineTolerance(t *testing.T) {
	for n, want := range map[int]int{-5: 0, 0: 0, 1: 0, 3: 0, 4: 1, 6: 1, 7: 2, 100: 33} {
		if got := equations.ByzantineTolerance(n); got != want {
			t.Errorf("f(%d) = %d, want %d", n, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1<<30).Draw(t, "n")
		f := equations.ByzantineTolerance(n)
		if n < 3*f+1 || n >= 3*(f+1)+1 {
			t.Fatalf("f(%d) = %d", n, f)
		}
		if !equations.Quorum(uint64(n-f), uint64(n)) {
			t.Fatalf("the other %d of %d are no quorum", n-f, n)
		}
	})
}

// Rows 51 and 52: the sample is the smallest that detects with the confidence.
func TestAudit(t *testing.T) {
	if k := equations.AuditSample(0.01, 0.95); k != 299 { // the rule of three, exactly
		t.Errorf("k = %d, want 299", k)
	}
	for _, c := range []struct {
		p, c float64
		want int
	}{
		{1, 1, 1},
		{0.5, 1, math.MaxInt},
		{0, 0.5, math.MaxInt},
		{0.5, 0, 1},
		{math.NaN(), 0.5, math.MaxInt},
		{0.5, math.NaN(), math.MaxInt},
		{0.5, 0.5, 1},
		{0.5, 0.75, 2},
		{1e-300, 0.99, math.MaxInt},
	} {
		if got := equations.AuditSample(c.p, c.c); got != c.want {
			t.Errorf("AuditSample(%v, %v) = %d, want %d", c.p, c.c, got, c.want)
		}
	}
	for _, c := range []struct {
		p    float64
		k    int
		want float64
	}{{0.5, 2, 0.75}, {1, 1, 1}, {0, 9, 0}, {0.5, 0, 0}, {0.5, -1, 0}, {2, 1, 1}, {math.NaN(), 5, 0}} {
		if got := equations.AuditDetection(c.p, c.k); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("AuditDetection(%v, %d) = %v, want %v", c.p, c.k, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		p, c := rapid.Float64Range(1e-6, 0.999).Draw(t, "p"), rapid.Float64Range(0.001, 0.9999).Draw(t, "c")
		k := equations.AuditSample(p, c)
		if d := equations.AuditDetection(p, k); d < c-1e-12 {
			t.Fatalf("%d audited detect with %v", k, d)
		}
		if d := equations.AuditDetection(p, k-1); k > 1 && d > c+1e-12 {
			t.Fatalf("%d audited are enough: %v", k-1, d)
		}
	})
}

// Row 53.
func TestReExecutionAgreement(t *testing.T) {
	a, b, c := digest(1), digest(2), digest(3)
	for _, x := range []struct {
		states []equations.Digest
		want   float64
	}{
		{[]equations.Digest{a}, 1},
		{[]equations.Digest{a, a, a}, 1},
		{[]equations.Digest{b, a, a, c}, 0.5},
		{[]equations.Digest{a, b}, 0.5},
	} {
		if got := equations.ReExecutionAgreement(x.states); got != x.want {
			t.Errorf("%d states: %v, want %v", len(x.states), got, x.want)
		}
	}
	if got := equations.ReExecutionAgreement(nil); !math.IsNaN(got) {
		t.Errorf("of none %v", got)
	}
}

// Row 54: whatever order receipts leave in, nothing is missing; one that is
// taken away is.
func TestConservationOfExecutions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := rapid.Uint64Range(0, 60).Draw(t, "last")
		committed := rapid.Uint64Range(0, last).Draw(t, "committed")
		running := rapid.Uint64Range(0, 9).Draw(t, "running")
		late := rapid.Uint64Range(0, committed).Draw(t, "committed and not yet taken out")
		var waiting []uint64
		for n := committed - late + 1; n <= last; n++ {
			waiting = append(waiting, n)
		}
		if gap := equations.SequenceGap(committed, waiting, last); gap != 0 {
			t.Fatalf("gap at %d of %v", gap, waiting)
		}
		if d := equations.ExecutionBalance(running+last, running, last-committed, committed); d != 0 {
			t.Fatalf("difference %d", d)
		}
		if last > committed {
			lost := rapid.Uint64Range(committed+1, last).Draw(t, "lost")
			waiting = slices.DeleteFunc(waiting, func(n uint64) bool { return n == lost })
			if gap := equations.SequenceGap(committed, waiting, last); gap != lost {
				t.Fatalf("gap at %d, not %d", gap, lost)
			}
			if d := equations.ExecutionBalance(running+last, running, last-committed-1, committed); d != 1 {
				t.Fatalf("difference %d", d)
			}
		}
	})
	if d := equations.ExecutionBalance(1, 1, 1, 0); d != -1 {
		t.Errorf("difference %d", d)
	}
}

package equations_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

func digest(b byte) equations.Digest { return sha256.Sum256([]byte{b}) }

// The digests are written out here a second time, from their definitions.
func TestDigestsAreTheirDefinitions(t *testing.T) {
	cat := func(parts ...[]byte) equations.Digest { return sha256.Sum256(slices.Concat(parts...)) }
	node, image, workload, nonce := digest(1), digest(2), digest(3), digest(4)
	id := equations.ExecutionIdentity(node, image, workload, nonce)
	if want := cat([]byte("entroos/c_id/v1"), node[:], image[:], workload[:], nonce[:]); id != want {
		t.Errorf("c_id = %x, want %x", id, want)
	}
	stdout, stderr := digest(5), digest(6)
	state := equations.ExecutionState(stdout, stderr, -1, 9, true)
	if want := cat([]byte("entroos/E_s/v1"), stdout[:], stderr[:], []byte{255, 255, 255, 255, 0, 0, 0, 9, 1}); state != want {
		t.Errorf("E_s = %x, want %x", state, want)
	}
	usage := equations.UsageVector{1, 2, 3, 4, 5, 6, math.MaxUint64}
	var u []byte
	for _, x := range usage {
		u = binary.BigEndian.AppendUint64(u, x)
	}
	p := equations.ProofOfExecution(id, state, usage)
	if want := cat(id[:], state[:], u); p != want {
		t.Errorf("P = %x, want %x", p, want)
	}
	if !equations.ProofHolds(p, id, state, usage) {
		t.Error("V(P,c) = 0 for P itself")
	}
}

// Row 42: V is false for 1,000 proofs with one random bit flipped anywhere in
// P or in what it is made of.
func TestProofHoldsForNothingElse(t *testing.T) {
	for range 1000 {
		var in [4*32 + 8*equations.UsageFields]byte
		for i := range in[32:] {
			in[32+i] = byte(rand.Uint32())
		}
		id, state, usage := equations.Digest(in[32:]), equations.Digest(in[64:]), vector(in[96:])
		p := equations.ProofOfExecution(id, state, usage)
		copy(in[:], p[:])
		bit := rand.IntN(8 * (96 + 8*equations.UsageFields))
		in[bit/8] ^= 1 << (bit % 8)
		if equations.ProofHolds(equations.Digest(in[:]), equations.Digest(in[32:]), equations.Digest(in[64:]), vector(in[96:])) {
			t.Fatalf("V(P,c) = 1 with bit %d flipped", bit)
		}
	}
}

func vector(b []byte) (u equations.UsageVector) {
	for i := range u {
		u[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return u
}

// tree returns the stored hashes of a tree whose leaves are the numbers from 0.
func tree(t interface{ Fatal(...any) }, size int64) tlog.HashReader {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	for i := range size {
		hashes, err := tlog.StoredHashes(i, leafData(i), reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	return reader
}

func leafData(i int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

// Rows 46 and 47, against another implementation of the tree.
func TestInclusionRoot(t *testing.T) {
	const largest = 300
	reader := tree(t, largest)
	for size := int64(1); size <= largest; size++ {
		root, err := tlog.TreeHash(size, reader)
		if err != nil {
			t.Fatal(err)
		}
		for index := size % 7; index < size; index += 7 {
			path := prove(t, size, index, reader)
			if len(path) > equations.InclusionBound(uint64(size)) {
				t.Fatalf("leaf %d of %d: %d hashes", index, size, len(path))
			}
			got, err := equations.InclusionRoot(equations.MerkleLeaf(leafData(index)), uint64(index), uint64(size), path)
			if err != nil || got != equations.Digest(root) {
				t.Fatalf("leaf %d of %d: %x, %v; want %x", index, size, got, err, root)
			}
		}
	}
}

func prove(t interface{ Fatal(...any) }, size, index int64, reader tlog.HashReader) []equations.Digest {
	p, err := tlog.ProveRecord(size, index, reader)
	if err != nil {
		t.Fatal(err)
	}
	path := make([]equations.Digest, len(p))
	for i, h := range p {
		path[i] = equations.Digest(h)
	}
	return path
}

// A proof fits one place of one tree only: with anything changed it either
// does not fit or implies another root.
func TestInclusionProofOfNothingElse(t *testing.T) {
	reader := tree(t, 200)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(2, 200).Draw(t, "size")
		index := rapid.Int64Range(0, size-1).Draw(t, "index")
		path := prove(t, size, index, reader)
		leaf := equations.MerkleLeaf(leafData(index))
		root, err := equations.InclusionRoot(leaf, uint64(index), uint64(size), path)
		if err != nil {
			t.Fatal(err)
		}
		otherLeaf, otherIndex, otherPath := leaf, uint64(index), slices.Clone(path)
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			otherLeaf[rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
		case 1:
			otherIndex = rapid.Uint64Range(0, uint64(size)-1).Filter(func(i uint64) bool { return i != uint64(index) }).Draw(t, "other index")
		case 2:
			otherPath[rapid.IntRange(0, len(path)-1).Draw(t, "hash")][0] ^= 1
		case 3:
			otherPath = otherPath[:rapid.IntRange(0, len(path)-1).Draw(t, "length")]
		}
		got, err := equations.InclusionRoot(otherLeaf, otherIndex, uint64(size), otherPath)
		if err == nil && got == root {
			t.Fatal("the changed proof implies the same root")
		}
		if err != nil && !errors.Is(err, equations.ErrInclusion) {
			t.Fatal(err)
		}
	})
}

func TestInclusionBound(t *testing.T) {
	for n, want := range map[uint64]int{0: 0, 1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 1 << 20: 20, 1<<20 + 1: 21, math.MaxUint64: 64} {
		if got := equations.InclusionBound(n); got != want {
			t.Errorf("InclusionBound(%d) = %d, want %d", n, got, want)
		}
	}
}

// The leaf hashes of RFC 9162's empty and one-byte strings.
func TestMerkleLeaf(t *testing.T) {
	for data, want := range map[string]string{
		"":     "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"\x00": "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
	} {
		if got := equations.MerkleLeaf([]byte(data)); hex.EncodeToString(got[:]) != want {
			t.Errorf("MerkleLeaf(%q) = %x, want %s", data, got, want)
		}
	}
}

// BenchmarkProofHolds measures V(P,c), which has to take at most 1 µs.
func BenchmarkProofHolds(b *testing.B) {
	id, state, usage := digest(1), digest(2), equations.UsageVector{1, 2, 3}
	p := equations.ProofOfExecution(id, state, usage)
	for b.Loop() {
		if !equations.ProofHolds(p, id, state, usage) {
			b.Fatal("V(P,c) = 0")
		}
	}
}

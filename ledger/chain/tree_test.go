package chain

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/entroos/entroos/equations"
)

// storedHashes are a tree's, by their indexes.
type storedHashes []tlog.Hash

func (s storedHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(s)) {
			return nil, fmt.Errorf("hash %d of %d", x, len(s))
		}
		out[i] = s[x]
	}
	return out, nil
}

// The tree is the one that golang.org/x/mod/sumdb/tlog makes.
func TestTreeIsThatOfTlog(t *testing.T) {
	var stored storedHashes
	for n := range uint64(600) {
		root, err := treeRoot(n, stored)
		if err != nil {
			t.Fatal(err)
		}
		want, err := tlog.TreeHash(int64(n), stored)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 && tlog.Hash(root) != want { // tlog has zeros for the empty tree, RFC 9162 SHA-256("")
			t.Fatalf("root of %d leaves: %x, want %x", n, root, want)
		}
		raw := fmt.Appendf(nil, "receipt %d", n)
		got, err := completed(n, equations.MerkleLeaf(raw), stored)
		if err != nil {
			t.Fatal(err)
		}
		hashes, err := tlog.StoredHashes(int64(n), raw, stored)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(hashes) {
			t.Fatalf("leaf %d: %d hashes, want %d", n, len(got), len(hashes))
		}
		for i := range got {
			if got[i] != hashes[i] {
				t.Fatalf("leaf %d: hash %d is %x, want %x", n, i, got[i], hashes[i])
			}
		}
		stored = append(stored, got...)
	}
	if root, err := treeRoot(0, nil); err != nil || root != emptyRoot() {
		t.Errorf("%x, error %v", root, err)
	}
}

type noHashes struct{}

var errNoHashes = errors.New("the disk fails")

func (noHashes) ReadHashes([]int64) ([]tlog.Hash, error) { return nil, errNoHashes }

func TestTreeOnABadDisk(t *testing.T) {
	if _, err := treeRoot(3, noHashes{}); !errors.Is(err, errNoHashes) {
		t.Errorf("root: %v", err)
	}
	if _, err := completed(3, equations.Digest{}, noHashes{}); !errors.Is(err, errNoHashes) {
		t.Errorf("hashes: %v", err)
	}
}

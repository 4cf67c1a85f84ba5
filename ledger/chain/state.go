package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/ledger/proof"
)

// state is the application's state that rules hang on; all of it is small and
// in memory. Receipts and indexes are in the store. State changes only by
// blocks: it is a function of the genesis and the blocks so far.
type state struct {
	// height of the last block that is in it.
	height int64
	// size and root of the Merkle tree over all receipts.
	size uint64
	root [32]byte
	// nodes maps each node that may write to what it wrote last.
	nodes map[[32]byte]nodeState
	// blocks is a hash chain over the places of all receipts but those of last.
	blocks [32]byte
	// last is the newest block that holds receipts; zero if there is none.
	last receiptBlock
}

// nodeState is what a node wrote last: zero before its first receipt.
type nodeState struct {
	sequence uint64
	proof    [32]byte // P
}

// receiptBlock is the place of a block's receipts: the tree's leaves first to
// first+count-1.
type receiptBlock struct {
	height       int64
	first, count uint64
	// time is when the validators committed the block, in nanoseconds since
	// 1970. It is known with the block after it, so it enters the application's
	// hash with the next receipts; until then that header vouches for it.
	time int64
}

// Tags of the digests that make up the application's hash.
const (
	restTag   = "entroos/state/v1"
	blocksTag = "entroos/blocks/v1"
)

// genesisState is the state before the first block.
func genesisState(g *proof.Genesis) *state {
	s := &state{nodes: make(map[[32]byte]nodeState), root: emptyRoot()}
	for _, n := range g.Nodes {
		s.nodes[n] = nodeState{}
	}
	return s
}

func emptyRoot() [32]byte { return sha256.Sum256(nil) }

func (s *state) clone() *state {
	c := *s
	c.nodes = maps.Clone(s.nodes)
	return &c
}

// rest is the digest of all state but the tree.
func (s *state) rest() [32]byte {
	b := []byte(restTag)
	b = s.appendNodes(b)
	b = append(b, s.blocks[:]...)
	b = s.last.appendPlace(b)
	return sha256.Sum256(b)
}

// appHash is what the next block's header says of this state. The height is
// not in it: a block without receipts leaves it as it is, and needs no proof.
func (s *state) appHash() [32]byte {
	return proof.AppHash(s.size, s.root, s.rest())
}

func (s *state) appendNodes(b []byte) []byte {
	keys := slices.SortedFunc(maps.Keys(s.nodes), func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	b = binary.BigEndian.AppendUint32(b, uint32(len(keys)))
	for _, k := range keys {
		n := s.nodes[k]
		b = append(b, k[:]...)
		b = binary.BigEndian.AppendUint64(b, n.sequence)
		b = append(b, n.proof[:]...)
	}
	return b
}

func (r receiptBlock) appendPlace(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(r.height))
	b = binary.BigEndian.AppendUint64(b, r.first)
	return binary.BigEndian.AppendUint64(b, r.count)
}

// encode returns the state's form on disk; decodeState reads it.
func (s *state) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(s.height))
	b = binary.BigEndian.AppendUint64(b, s.size)
	b = append(b, s.root[:]...)
	b = append(b, s.blocks[:]...)
	b = s.last.appendPlace(b)
	b = binary.BigEndian.AppendUint64(b, uint64(s.last.time))
	return s.appendNodes(b)
}

func decodeState(b []byte) (*state, error) {
	const fixed = 8 + 8 + 32 + 32 + 32 + 4
	const node = 32 + 8 + 32
	if len(b) < fixed || len(b) != fixed+node*int(binary.BigEndian.Uint32(b[fixed-4:])) {
		return nil, fmt.Errorf("ledger: application state has %d bytes", len(b))
	}
	u64 := func() uint64 {
		v := binary.BigEndian.Uint64(b)
		b = b[8:]
		return v
	}
	digest := func() [32]byte {
		d := [32]byte(b)
		b = b[32:]
		return d
	}
	s := &state{nodes: make(map[[32]byte]nodeState)}
	s.height = int64(u64())
	s.size = u64()
	s.root = digest()
	s.blocks = digest()
	s.last.height = int64(u64())
	s.last.first = u64()
	s.last.count = u64()
	s.last.time = int64(u64())
	for b = b[4:]; len(b) > 0; {
		key := digest()
		s.nodes[key] = nodeState{sequence: u64(), proof: digest()}
	}
	return s, nil
}

// An overlay is a block being executed: the state after it, and the records
// that commit with it.
type overlay struct {
	state
	tree     tlog.HashReader // of the state the block builds on
	base     uint64          // its size
	receipts []record
	hashes   map[int64]tlog.Hash // stored hashes that the block adds
}

// record is a receipt that a block adds to the tree.
type record struct {
	receipt *ledger.Receipt
	raw     []byte
	upper   []byte // tree hashes above the leaf that the receipt completes
}

func newOverlay(s *state, tree tlog.HashReader, height int64) *overlay {
	o := &overlay{state: *s.clone(), tree: tree, base: s.size, hashes: make(map[int64]tlog.Hash)}
	o.height = height
	return o
}

// setTime notes when the block before this one was committed, which is what
// this block's header says as its time.
func (o *overlay) setTime(nanos int64) {
	if o.last.count > 0 && o.last.height == o.height-1 {
		o.last.time = nanos
	}
}

// add appends a receipt that follows the rules to the tree.
func (o *overlay) add(r *ledger.Receipt, raw []byte) error {
	stored, err := completed(o.size, equations.MerkleLeaf(raw), o)
	if err != nil {
		return err
	}
	rec := record{receipt: r, raw: raw}
	at := tlog.StoredHashIndex(0, int64(o.size))
	for i, h := range stored {
		o.hashes[at+int64(i)] = h
		if i > 0 {
			rec.upper = append(rec.upper, h[:]...)
		}
	}
	if o.last.height != o.height {
		o.closeLast()
		o.last = receiptBlock{height: o.height, first: o.size}
	}
	o.last.count++
	o.size++
	o.receipts = append(o.receipts, rec)
	o.nodes[r.Node] = nodeState{sequence: r.Sequence, proof: r.Proof}
	return nil
}

// find returns the encoding of the receipt that the block holds under r's
// node and number, or nil.
func (o *overlay) find(r *ledger.Receipt) []byte {
	for _, rec := range o.receipts {
		if rec.receipt.Node == r.Node && rec.receipt.Sequence == r.Sequence {
			return rec.raw
		}
	}
	return nil
}

// closeLast moves the newest block with receipts into the hash chain.
func (o *overlay) closeLast() {
	if o.last.count == 0 {
		return
	}
	b := append([]byte(blocksTag), o.blocks[:]...)
	b = o.last.appendPlace(b)
	b = binary.BigEndian.AppendUint64(b, uint64(o.last.time))
	o.blocks = sha256.Sum256(b)
}

// finish computes the tree's root once all receipts are added.
func (o *overlay) finish() error {
	if o.size == o.base {
		return nil
	}
	root, err := treeRoot(o.size, o)
	if err != nil {
		return err
	}
	o.root = root
	return nil
}

// ReadHashes implements tlog.HashReader over the block's hashes and those
// stored before it.
func (o *overlay) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	var missing []int64
	for i, x := range indexes {
		h, ok := o.hashes[x]
		if !ok {
			missing = append(missing, x)
		}
		out[i] = h
	}
	if len(missing) == 0 {
		return out, nil
	}
	old, err := o.tree.ReadHashes(missing)
	if err != nil {
		return nil, err
	}
	for i, x := range indexes {
		if _, ok := o.hashes[x]; !ok {
			out[i], old = old[0], old[1:]
		}
	}
	return out, nil
}

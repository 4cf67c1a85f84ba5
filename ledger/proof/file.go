// Package proof makes, reads and verifies the file by which a receipt proves
// itself offline: the receipt, its place in the ledger's Merkle tree, the
// block header that commits to the tree, and the validators' signatures under
// that header. docs/receipts.md documents the file byte by byte.
package proof

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	cmtversion "github.com/cometbft/cometbft/proto/tendermint/version"
	"github.com/cometbft/cometbft/types"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/ledger"
)

// magic begins every proof file, and says its version.
const magic = "entroos/proof/v1"

// maxGenesis bounds a genesis document in a proof file.
const maxGenesis = 1 << 20

// The years 1 to 9999, in seconds since 1970.
const (
	minSeconds = -62135596800
	maxSeconds = 253402300799
)

// ErrFormat says that a file is not a proof file, or not in its one form.
var ErrFormat = errors.New("proof: malformed file")

// A File is a proof file's contents. What can be computed from the rest is
// not in it: of the header, the chain id, the application's hash and the
// validators' hashes; of the commit, the height, the block's hash and the
// validators' addresses.
type File struct {
	// Receipt is proved.
	Receipt ledger.Receipt
	// Index is its leaf in a tree of Size leaves, and Path the inclusion
	// proof, from the leaf up.
	Index, Size uint64
	Path        []equations.Digest
	// Rest is the digest of the application's state but the tree.
	Rest [32]byte
	// Header commits to the tree, Commit to the header.
	Header *types.Header
	Commit *types.Commit
	// Genesis names chain, validators and nodes.
	Genesis *Genesis
}

// Encode returns the file's bytes.
func (f *File) Encode() ([]byte, error) {
	receipt, err := f.Receipt.MarshalBinary()
	if err != nil {
		return nil, err
	}
	if len(f.Path) > 64 || len(f.Genesis.File) > maxGenesis {
		return nil, fmt.Errorf("%w: too large", ErrFormat)
	}
	b := append([]byte(magic), receipt...)
	b = binary.BigEndian.AppendUint64(b, f.Index)
	b = binary.BigEndian.AppendUint64(b, f.Size)
	b = append(b, byte(len(f.Path)))
	for _, h := range f.Path {
		b = append(b, h[:]...)
	}
	b = append(b, f.Rest[:]...)
	if b, err = appendHeader(b, f.Header); err != nil {
		return nil, err
	}
	if b, err = appendCommit(b, f.Commit); err != nil {
		return nil, err
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.Genesis.File)))
	return append(b, f.Genesis.File...), nil
}

func appendHeader(b []byte, h *types.Header) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, h.Version.Block)
	b = binary.BigEndian.AppendUint64(b, h.Version.App)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Height))
	b = appendTime(b, h.Time)
	b = binary.BigEndian.AppendUint32(b, h.LastBlockID.PartSetHeader.Total)
	for _, d := range headerDigests(h) {
		if len(*d) != 32 {
			return nil, fmt.Errorf("%w: a hash in the header has %d bytes", ErrFormat, len(*d))
		}
		b = append(b, *d...)
	}
	if len(h.ProposerAddress) != 20 {
		return nil, fmt.Errorf("%w: the proposer's address has %d bytes", ErrFormat, len(h.ProposerAddress))
	}
	return append(b, h.ProposerAddress...), nil
}

// headerDigests lists the hashes of a header that are in the file, in order.
func headerDigests(h *types.Header) []*[]byte {
	return []*[]byte{
		(*[]byte)(&h.LastBlockID.Hash), (*[]byte)(&h.LastBlockID.PartSetHeader.Hash),
		(*[]byte)(&h.LastCommitHash), (*[]byte)(&h.DataHash), (*[]byte)(&h.ConsensusHash),
		(*[]byte)(&h.LastResultsHash), (*[]byte)(&h.EvidenceHash),
	}
}

func appendCommit(b []byte, c *types.Commit) ([]byte, error) {
	b = binary.BigEndian.AppendUint32(b, uint32(c.Round))
	b = binary.BigEndian.AppendUint32(b, c.BlockID.PartSetHeader.Total)
	if len(c.BlockID.PartSetHeader.Hash) != 32 {
		return nil, fmt.Errorf("%w: the commit's part set hash has %d bytes", ErrFormat, len(c.BlockID.PartSetHeader.Hash))
	}
	b = append(b, c.BlockID.PartSetHeader.Hash...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Signatures)))
	for _, s := range c.Signatures {
		b = append(b, byte(s.BlockIDFlag))
		if s.BlockIDFlag == types.BlockIDFlagAbsent {
			continue
		}
		if len(s.Signature) != ed25519.SignatureSize {
			return nil, fmt.Errorf("%w: a signature has %d bytes", ErrFormat, len(s.Signature))
		}
		b = appendTime(b, s.Timestamp)
		b = append(b, s.Signature...)
	}
	return b, nil
}

func appendTime(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

// Parse reads a proof file, and refuses one that does not encode to itself.
// It computes nothing and verifies nothing: use Verify.
func Parse(file []byte) (*File, error) {
	r := &reader{b: file}
	if string(r.take(len(magic))) != magic {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrFormat, magic)
	}
	f := new(File)
	if receipt := r.take(ledger.ReceiptSize); !r.short {
		if err := f.Receipt.UnmarshalBinary(receipt); err != nil {
			return nil, err
		}
	}
	f.Index, f.Size = r.u64(), r.u64()
	for n := int(r.byte()); n > 0 && !r.short; n-- {
		f.Path = append(f.Path, r.digest())
	}
	f.Rest = r.digest()
	f.Header = r.header()
	f.Commit = r.commit()
	n := r.u32()
	if n > maxGenesis {
		return nil, fmt.Errorf("%w: genesis document of %d bytes", ErrFormat, n)
	}
	genesis := r.take(int(n))
	if r.short || len(r.b) != 0 {
		return nil, fmt.Errorf("%w: too short or too long", ErrFormat)
	}
	if r.malformed {
		return nil, fmt.Errorf("%w: there is no such time", ErrFormat)
	}
	f.Genesis = &Genesis{File: bytes.Clone(genesis)}
	again, err := f.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, file) {
		return nil, fmt.Errorf("%w: it does not encode to itself", ErrFormat)
	}
	return f, nil
}

// reader takes fields off the front of a file.
type reader struct {
	b         []byte
	short     bool // the file ended too early
	malformed bool // a field has a value that it cannot have
}

// take returns the next n bytes, or zeros once the file is too short.
func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.short = true
		return make([]byte, n)
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte       { return r.take(1)[0] }
func (r *reader) u16() uint16      { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32      { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64      { return binary.BigEndian.Uint64(r.take(8)) }
func (r *reader) digest() [32]byte { return [32]byte(r.take(32)) }

// time reads seconds and nanoseconds: a time that a protobuf timestamp can be,
// since that is what is hashed and signed. CometBFT panics on others.
func (r *reader) time() time.Time {
	seconds, nanos := int64(r.u64()), r.u32()
	if seconds < minSeconds || seconds > maxSeconds || nanos >= 1e9 {
		r.malformed = true
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}

func (r *reader) header() *types.Header {
	h := new(types.Header)
	h.Version = cmtversion.Consensus{Block: r.u64(), App: r.u64()}
	h.Height = int64(r.u64())
	h.Time = r.time()
	h.LastBlockID.PartSetHeader.Total = r.u32()
	for _, d := range headerDigests(h) {
		*d = bytes.Clone(r.take(32))
	}
	h.ProposerAddress = bytes.Clone(r.take(20))
	return h
}

func (r *reader) commit() *types.Commit {
	c := new(types.Commit)
	c.Round = int32(r.u32())
	c.BlockID.PartSetHeader.Total = r.u32()
	c.BlockID.PartSetHeader.Hash = bytes.Clone(r.take(32))
	for n := r.u16(); n > 0 && !r.short; n-- {
		s := types.CommitSig{BlockIDFlag: types.BlockIDFlag(r.byte())}
		if s.BlockIDFlag != types.BlockIDFlagAbsent {
			s.Timestamp = r.time()
			s.Signature = bytes.Clone(r.take(ed25519.SignatureSize))
		}
		c.Signatures = append(c.Signatures, s)
	}
	return c
}

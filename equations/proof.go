package equations

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// A Digest is a SHA-256 value.
type Digest = [sha256.Size]byte

// UsageFields is the number of quantities in R_u.
const UsageFields = 7

// A UsageVector is R_u, what an execution used: CPU user and system time (µs),
// memory peak (bytes), bytes read and written, the largest number of
// processes, wall time (µs). All ones stand for "not measured".
type UsageVector [UsageFields]uint64

// The tags keep the digests of one row from ever being those of another, or
// of something else that is hashed with SHA-256.
const (
	executionStateTag    = "entroos/E_s/v1"
	executionIdentityTag = "entroos/c_id/v1"
)

// ProofOfExecution returns equation 41,
//
//	P = SHA-256(c_id ‖ E_s ‖ R_u)
//
// with R_u as seven big-endian 64-bit integers.
func ProofOfExecution(id, state Digest, usage UsageVector) Digest {
	var buf [2*sha256.Size + 8*UsageFields]byte
	copy(buf[:], id[:])
	copy(buf[sha256.Size:], state[:])
	for i, u := range usage {
		binary.BigEndian.PutUint64(buf[2*sha256.Size+8*i:], u)
	}
	return sha256.Sum256(buf[:])
}

// ProofHolds returns equation 42, the proof predicate
//
//	V(P,c) = 1 ⇔ Hash(P) = Hash(c_id ‖ E_s ‖ R_u)
//
// where Hash(P) is the digest that the receipt carries: p itself, which is
// recomputed over the fields and compared in constant time.
func ProofHolds(p, id, state Digest, usage UsageVector) bool {
	want := ProofOfExecution(id, state, usage)
	return subtle.ConstantTimeCompare(p[:], want[:]) == 1
}

// ExecutionState returns equation 43,
//
//	E_s = SHA-256(tag ‖ H(stdout) ‖ H(stderr) ‖ exit ‖ signal ‖ oom)
//
// with exit and signal as big-endian two's complement 32-bit integers and oom
// as one byte, 0 or 1.
func ExecutionState(stdout, stderr Digest, exit, signal int32, oom bool) Digest {
	const n = len(executionStateTag)
	var buf [n + 2*sha256.Size + 9]byte
	copy(buf[:], executionStateTag)
	copy(buf[n:], stdout[:])
	copy(buf[n+sha256.Size:], stderr[:])
	binary.BigEndian.PutUint32(buf[n+2*sha256.Size:], uint32(exit))
	binary.BigEndian.PutUint32(buf[n+2*sha256.Size+4:], uint32(signal))
	if oom {
		buf[len(buf)-1] = 1
	}
	return sha256.Sum256(buf[:])
}

// ExecutionIdentity returns equation 44,
//
//	c_id = SHA-256(tag ‖ node ‖ image digest ‖ runtime-config digest ‖ nonce)
//
// where the runtime-config digest is that of the canonical workload.
func ExecutionIdentity(node, image, workload, nonce Digest) Digest {
	const n = len(executionIdentityTag)
	var buf [n + 4*sha256.Size]byte
	copy(buf[:], executionIdentityTag)
	for i, d := range []*Digest{&node, &image, &workload, &nonce} {
		copy(buf[n+i*sha256.Size:], d[:])
	}
	return sha256.Sum256(buf[:])
}

// MerkleLeaf returns the hash of a leaf of equation 46 (RFC 9162 §2.1),
// SHA-256(0x00 ‖ d).
func MerkleLeaf(data []byte) Digest {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(data)
	var d Digest
	h.Sum(d[:0])
	return d
}

// MerkleNode returns the hash of an inner node of equation 46 (RFC 9162 §2.1),
// SHA-256(0x01 ‖ l ‖ r).
func MerkleNode(left, right Digest) Digest {
	var buf [1 + 2*sha256.Size]byte
	buf[0] = 1
	copy(buf[1:], left[:])
	copy(buf[1+sha256.Size:], right[:])
	return sha256.Sum256(buf[:])
}

// ErrInclusion says that an inclusion proof does not fit the tree it is for.
var ErrInclusion = errors.New("equations: inclusion proof does not fit the tree")

// InclusionRoot returns the root that an inclusion proof implies for the leaf
// at index (from 0) in a tree of size leaves: equation 46 along one path, by
// the algorithm of RFC 9162 §2.1.3.2. The path is a proof of the leaf if this
// root is the tree's.
func InclusionRoot(leaf Digest, index, size uint64, path []Digest) (Digest, error) {
	if index >= size {
		return Digest{}, fmt.Errorf("%w: leaf %d of %d", ErrInclusion, index, size)
	}
	if len(path) > InclusionBound(size) {
		return Digest{}, fmt.Errorf("%w: %d hashes for %d leaves", ErrInclusion, len(path), size)
	}
	node, last, root := index, size-1, leaf
	for _, p := range path {
		if last == 0 {
			return Digest{}, fmt.Errorf("%w: too long", ErrInclusion)
		}
		if node&1 == 1 || node == last {
			root = MerkleNode(p, root)
			for node&1 == 0 && node != 0 {
				node >>= 1
				last >>= 1
			}
		} else {
			root = MerkleNode(root, p)
		}
		node >>= 1
		last >>= 1
	}
	if last != 0 {
		return Digest{}, fmt.Errorf("%w: too short", ErrInclusion)
	}
	return root, nil
}

// InclusionBound returns equation 47, ⌈log n⌉: the most hashes that an
// inclusion proof in a tree of n leaves has.
func InclusionBound(n uint64) int {
	if n <= 1 {
		return 0
	}
	return bits.Len64(n - 1)
}

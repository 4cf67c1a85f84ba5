package equations

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
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

// NewOutputDigest begins equation 45, the SHA-256 of what an execution writes to
// one of its streams, in the order in which it was written:
//
//	H(w₁ ‖ w₂ ‖ …)
//
// Nothing written gives the digest of the empty string.
func NewOutputDigest() hash.Hash { return sha256.New() }

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

// ErrConsistency says that a consistency proof does not show the one tree to be
// the beginning of the other.
var ErrConsistency = errors.New("equations: consistency proof does not hold")

// Consistent checks a consistency proof, by the algorithm of RFC 9162
// §2.1.4.2: that the tree of second leaves with the root secondRoot begins
// with the tree of first leaves with the root firstRoot. The tree without
// leaves, whose root is SHA-256 of the empty string, begins every tree; its
// proof, and that of a tree with itself, is empty. The error wraps
// ErrConsistency and says what is wrong.
func Consistent(first, second uint64, firstRoot, secondRoot Digest, path []Digest) error {
	switch {
	case first > second:
		return fmt.Errorf("%w: %d leaves are not the beginning of %d", ErrConsistency, first, second)
	case len(path) > ConsistencyBound(second):
		return fmt.Errorf("%w: %d hashes for %d leaves", ErrConsistency, len(path), second)
	case first == second || first == 0:
		if len(path) != 0 {
			return fmt.Errorf("%w: too long", ErrConsistency)
		}
		if first == second && firstRoot != secondRoot || first == 0 && firstRoot != sha256.Sum256(nil) {
			return fmt.Errorf("%w: another root", ErrConsistency)
		}
		return nil
	case len(path) == 0:
		return fmt.Errorf("%w: too short", ErrConsistency)
	}
	node, last := first-1, second-1
	shift := bits.TrailingZeros64(^node)
	node >>= shift
	last >>= shift
	oldRoot := firstRoot // where first is a power of two, its root is a node of the path
	if first&(first-1) != 0 {
		oldRoot, path = path[0], path[1:]
	}
	newRoot := oldRoot
	for _, p := range path {
		if last == 0 {
			return fmt.Errorf("%w: too long", ErrConsistency)
		}
		if node&1 == 1 || node == last {
			oldRoot, newRoot = MerkleNode(p, oldRoot), MerkleNode(p, newRoot)
			for node&1 == 0 && node != 0 {
				node >>= 1
				last >>= 1
			}
		} else {
			newRoot = MerkleNode(newRoot, p)
		}
		node >>= 1
		last >>= 1
	}
	switch {
	case last != 0:
		return fmt.Errorf("%w: too short", ErrConsistency)
	case oldRoot != firstRoot || newRoot != secondRoot:
		return fmt.Errorf("%w: another root", ErrConsistency)
	}
	return nil
}

// ConsistencyBound returns equation 48, ⌈log n⌉ + 1: the most hashes that a
// consistency proof between a tree of n leaves and its beginning has. Without
// leaves it is 0.
func ConsistencyBound(n uint64) int {
	if n == 0 {
		return 0
	}
	return InclusionBound(n) + 1
}

// Quorum returns equation 49: whether the voting power that signed is more
// than two thirds of the total (Castro and Liskov 1999; Buchman 2016). More
// power than there is, is none.
func Quorum(power, total uint64) bool {
	highPower, lowPower := bits.Mul64(power, 3)
	highTotal, lowTotal := bits.Mul64(total, 2)
	return power <= total && (highPower > highTotal || highPower == highTotal && lowPower > lowTotal)
}

// ByzantineTolerance returns equation 50,
//
//	f = ⌊(n−1)/3⌋
//
// how many of n equal validators may fail in any way without harm (Pease,
// Shostak and Lamport 1980): n ≥ 3f+1. Without validators it is 0.
func ByzantineTolerance(n int) int { return max(0, (n-1)/3) }

// AuditDetection returns equation 51,
//
//	1 − (1−p)^k
//
// the probability that a sample of k receipts has at least one of the false
// ones, when the share p of all is false. p outside [0,1] counts as the
// nearest end and NaN as 0, k < 0 as 0.
func AuditDetection(p float64, k int) float64 {
	p = clamp01(p)
	if k <= 0 || p == 0 {
		return 0
	}
	return -math.Expm1(float64(k) * math.Log1p(-p))
}

// AuditSample returns equation 52,
//
//	k = ⌈ln(1−c) / ln(1−p)⌉, at least 1
//
// the size of the sample by which an audit finds, with confidence c, at least
// one false receipt when the share p is false. It is math.MaxInt where no
// sample is enough: p ≤ 0, c ≥ 1 (save p ≥ 1: one shows it), or NaN.
func AuditSample(p, c float64) int {
	switch {
	case math.IsNaN(p) || math.IsNaN(c) || p <= 0:
		return math.MaxInt
	case p >= 1 || c <= 0:
		return 1
	case c >= 1:
		return math.MaxInt
	}
	k := math.Ceil(math.Log1p(-c) / math.Log1p(-p))
	if k >= math.MaxInt {
		return math.MaxInt
	}
	return max(1, int(k))
}

// ReExecutionAgreement returns equation 53,
//
//	identical E_s / executions, in (0,1]
//
// over the executions of one deterministic job: the share that has the state
// which most have. Less than 1 says that some node is at fault, or that the
// job is not deterministic. It is NaN without executions.
func ReExecutionAgreement(states []Digest) float64 {
	if len(states) == 0 {
		return math.NaN()
	}
	identical := 0
	for _, s := range states {
		n := 0
		for _, other := range states {
			if s == other {
				n++
			}
		}
		identical = max(identical, n)
	}
	return float64(identical) / float64(len(states))
}

// ExecutionBalance returns equation 54, the conservation of executions, as the
// difference that has to be 0:
//
//	started − (running + waiting + committed)
//
// over a node's executions: waiting have a receipt in the outbox, committed one
// in the ledger. Above 0, executions have vanished; below, some came from
// nowhere. Differences beyond ±2⁶³ wrap around.
func ExecutionBalance(started, running, waiting, committed uint64) int64 {
	return int64(started - running - waiting - committed)
}

// SequenceGap is the other half of equation 54: it returns the first sequence
// number, of those above committed and up to last, that waiting does not hold,
// or 0 when there is no gap. waiting must rise; what is not above committed is
// passed over.
func SequenceGap(committed uint64, waiting []uint64, last uint64) uint64 {
	next := committed + 1
	for _, n := range waiting {
		if n > next {
			break
		}
		if n == next {
			next++
		}
	}
	if next <= last {
		return next
	}
	return 0
}

// Package ledger defines the receipt that every execution leaves, and a
// client for the ledger that keeps them.
//
// The receipt's encoding is documented byte by byte in docs/receipts.md.
package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/entroos/entroos/equations"
)

// Version is the receipt format that this package writes and reads.
const Version = 1

// ReceiptSize is the length of an encoded receipt in bytes. Every field has a
// fixed width, so it is the same for all.
const ReceiptSize = 508

// MaxChainID is the longest chain id a receipt can carry, in bytes.
const MaxChainID = 32

// NotMeasured stands in a Usage for a quantity that could not be measured.
const NotMeasured = ^uint64(0)

// signatureTag separates a node's signatures over receipts from any other use
// of its key.
const signatureTag = "entroos/receipt/v1"

// Offsets of the encoding's fields.
const (
	offVersion   = 0
	offChainID   = offVersion + 2
	offNode      = offChainID + MaxChainID
	offSequence  = offNode + 32
	offPrevious  = offSequence + 8
	offNonce     = offPrevious + 32
	offImage     = offNonce + 32
	offWorkload  = offImage + 32
	offStdout    = offWorkload + 32
	offStderr    = offStdout + 32
	offExit      = offStderr + 32
	offSignal    = offExit + 4
	offOOM       = offSignal + 4
	offOutcome   = offOOM + 1
	offStarted   = offOutcome + 1
	offFinished  = offStarted + 8
	offUsage     = offFinished + 8
	offContainer = offUsage + 8*equations.UsageFields
	offState     = offContainer + 32
	offProof     = offState + 32
	offSignature = offProof + 32
)

// Errors that Verify and UnmarshalBinary return, wrapped with what was found.
var (
	ErrMalformed = errors.New("ledger: malformed receipt")
	ErrVersion   = errors.New("ledger: unknown receipt version")
	ErrDigest    = errors.New("ledger: receipt's digests do not recompute")
	ErrSignature = errors.New("ledger: receipt's signature is not its node's")
)

// A Receipt is one execution as its node states it, signed by the node. It
// holds all that its digests are made of, so that anyone can recompute them.
type Receipt struct {
	// Version of the format; Seal sets it.
	Version uint16
	// ChainID names the ledger the receipt is for: 1 to 32 printable ASCII bytes.
	ChainID string
	// Node is the node's Ed25519 public key, which is its name.
	Node [32]byte
	// Sequence counts the node's receipts from 1, in order of completion.
	Sequence uint64
	// Previous is P of the node's receipt before this one, zero for the first.
	Previous [32]byte
	// Nonce is 32 random bytes that make the execution's identity unique.
	Nonce [32]byte
	// ImageDigest is the SHA-256 of the image's manifest.
	ImageDigest [32]byte
	// WorkloadDigest is the SHA-256 of the canonical workload.
	WorkloadDigest [32]byte
	// StdoutDigest and StderrDigest are the SHA-256 of the output as written.
	StdoutDigest, StderrDigest [32]byte
	// ExitCode is the exit status; Signal the signal that ended the process,
	// else 0.
	ExitCode, Signal int32
	// OOMKilled says that the kernel killed a process of the container for
	// want of memory.
	OOMKilled bool
	// Outcome says how the execution ended.
	Outcome Outcome
	// StartedUnixNano and FinishedUnixNano are the node's wall clock, in
	// nanoseconds since 1970. The clock may be wrong or may have been set in
	// between: the duration is Usage.WallMicros.
	StartedUnixNano, FinishedUnixNano int64
	// Usage is R_u.
	Usage Usage

	// ContainerID is c_id, ExecutionState E_s, Proof P; Seal computes them.
	ContainerID, ExecutionState, Proof [32]byte
	// Signature is the node's over all of the above.
	Signature [64]byte
}

// Usage is R_u: what an execution used. A field that could not be measured is
// NotMeasured.
type Usage struct {
	CPUUserMicros, CPUSystemMicros uint64 // µs
	MemoryPeakBytes                uint64
	IOReadBytes, IOWriteBytes      uint64
	PidsPeak                       uint64
	WallMicros                     uint64 // µs
}

// Vector returns u in the order of equation 41.
func (u Usage) Vector() equations.UsageVector {
	return equations.UsageVector{
		u.CPUUserMicros, u.CPUSystemMicros, u.MemoryPeakBytes,
		u.IOReadBytes, u.IOWriteBytes, u.PidsPeak, u.WallMicros,
	}
}

func usageOf(v equations.UsageVector) Usage {
	return Usage{v[0], v[1], v[2], v[3], v[4], v[5], v[6]}
}

// digests recomputes c_id, E_s and P from the fields they are made of.
func (r *Receipt) digests() (id, state, proof [32]byte) {
	id = equations.ExecutionIdentity(r.Node, r.ImageDigest, r.WorkloadDigest, r.Nonce)
	state = equations.ExecutionState(r.StdoutDigest, r.StderrDigest, r.ExitCode, r.Signal, r.OOMKilled)
	return id, state, equations.ProofOfExecution(id, state, r.Usage.Vector())
}

// Seal fills Version, ContainerID, ExecutionState, Proof and Signature. It
// fails if a field cannot be encoded or if key is not Node's.
func (r *Receipt) Seal(key ed25519.PrivateKey) error {
	if len(key) != ed25519.PrivateKeySize {
		return fmt.Errorf("ledger: a node key has %d bytes, this one %d", ed25519.PrivateKeySize, len(key))
	}
	if !bytes.Equal(key.Public().(ed25519.PublicKey), r.Node[:]) {
		return errors.New("ledger: the key is not that of the receipt's node")
	}
	sealed := *r
	sealed.Version = Version
	sealed.ContainerID, sealed.ExecutionState, sealed.Proof = sealed.digests()
	enc, err := sealed.MarshalBinary()
	if err != nil {
		return err
	}
	copy(sealed.Signature[:], ed25519.Sign(key, signedBytes(enc)))
	*r = sealed
	return nil
}

// Verify checks that c_id, E_s and P recompute from the receipt's fields and
// that the signature is its node's. It says nothing about whether the node is
// one to trust.
func (r *Receipt) Verify() error {
	enc, err := r.MarshalBinary()
	if err != nil {
		return err
	}
	if err := r.verifyDigests(); err != nil {
		return err
	}
	if !ed25519.Verify(r.Node[:], signedBytes(enc), r.Signature[:]) {
		return ErrSignature
	}
	return nil
}

func (r *Receipt) verifyDigests() error {
	id := equations.ExecutionIdentity(r.Node, r.ImageDigest, r.WorkloadDigest, r.Nonce)
	if subtle.ConstantTimeCompare(id[:], r.ContainerID[:]) != 1 {
		return fmt.Errorf("%w: c_id", ErrDigest)
	}
	state := equations.ExecutionState(r.StdoutDigest, r.StderrDigest, r.ExitCode, r.Signal, r.OOMKilled)
	if subtle.ConstantTimeCompare(state[:], r.ExecutionState[:]) != 1 {
		return fmt.Errorf("%w: E_s", ErrDigest)
	}
	if !equations.ProofHolds(r.Proof, r.ContainerID, r.ExecutionState, r.Usage.Vector()) {
		return fmt.Errorf("%w: P", ErrDigest)
	}
	return nil
}

// signedBytes returns what the node signs: the tag and every byte of the
// encoding, the chain id among them, but the signature.
func signedBytes(enc []byte) []byte {
	return append([]byte(signatureTag), enc[:offSignature]...)
}

// MarshalBinary returns the receipt's encoding, ReceiptSize bytes.
func (r *Receipt) MarshalBinary() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	b := make([]byte, ReceiptSize)
	binary.BigEndian.PutUint16(b[offVersion:], r.Version)
	copy(b[offChainID:offNode], r.ChainID)
	binary.BigEndian.PutUint64(b[offSequence:], r.Sequence)
	binary.BigEndian.PutUint32(b[offExit:], uint32(r.ExitCode))
	binary.BigEndian.PutUint32(b[offSignal:], uint32(r.Signal))
	if r.OOMKilled {
		b[offOOM] = 1
	}
	b[offOutcome] = byte(r.Outcome)
	binary.BigEndian.PutUint64(b[offStarted:], uint64(r.StartedUnixNano))
	binary.BigEndian.PutUint64(b[offFinished:], uint64(r.FinishedUnixNano))
	for i, u := range r.Usage.Vector() {
		binary.BigEndian.PutUint64(b[offUsage+8*i:], u)
	}
	for _, f := range r.fixed() {
		copy(b[f.offset:], f.bytes)
	}
	return b, nil
}

// UnmarshalBinary reads the encoding of a receipt. It takes exactly what
// MarshalBinary gives: another length, an unknown version, an unknown outcome
// or a padding that is not zero is refused, and r is then left as it was.
func (r *Receipt) UnmarshalBinary(b []byte) error {
	if len(b) < offChainID {
		return fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	if v := binary.BigEndian.Uint16(b[offVersion:]); v != Version {
		return fmt.Errorf("%w %d", ErrVersion, v)
	}
	if len(b) != ReceiptSize {
		return fmt.Errorf("%w: %d bytes, not %d", ErrMalformed, len(b), ReceiptSize)
	}
	if b[offOOM] > 1 {
		return fmt.Errorf("%w: oom is %d", ErrMalformed, b[offOOM])
	}
	var usage equations.UsageVector
	for i := range usage {
		usage[i] = binary.BigEndian.Uint64(b[offUsage+8*i:])
	}
	chain, padding, _ := bytes.Cut(b[offChainID:offNode], []byte{0})
	if len(bytes.Trim(padding, "\x00")) != 0 {
		return fmt.Errorf("%w: chain id is not padded with zeros", ErrMalformed)
	}
	d := Receipt{
		Version:          Version,
		ChainID:          string(chain),
		Sequence:         binary.BigEndian.Uint64(b[offSequence:]),
		ExitCode:         int32(binary.BigEndian.Uint32(b[offExit:])),
		Signal:           int32(binary.BigEndian.Uint32(b[offSignal:])),
		OOMKilled:        b[offOOM] == 1,
		Outcome:          Outcome(b[offOutcome]),
		StartedUnixNano:  int64(binary.BigEndian.Uint64(b[offStarted:])),
		FinishedUnixNano: int64(binary.BigEndian.Uint64(b[offFinished:])),
		Usage:            usageOf(usage),
	}
	for _, f := range d.fixed() {
		copy(f.bytes, b[f.offset:])
	}
	if err := d.check(); err != nil {
		return err
	}
	*r = d
	return nil
}

// check refuses what cannot be encoded, or would decode to something else.
func (r *Receipt) check() error {
	if r.Version != Version {
		return fmt.Errorf("%w %d", ErrVersion, r.Version)
	}
	if len(r.ChainID) == 0 || len(r.ChainID) > MaxChainID {
		return fmt.Errorf("%w: a chain id has 1 to %d bytes, this one %d", ErrMalformed, MaxChainID, len(r.ChainID))
	}
	for i := range len(r.ChainID) {
		if c := r.ChainID[i]; c <= ' ' || c > '~' {
			return fmt.Errorf("%w: chain id %q", ErrMalformed, r.ChainID)
		}
	}
	if r.Sequence == 0 {
		return fmt.Errorf("%w: sequence numbers begin at 1", ErrMalformed)
	}
	if !r.Outcome.valid() {
		return fmt.Errorf("%w: %v", ErrMalformed, r.Outcome)
	}
	return nil
}

// fixed lists the fields that are copied as they are.
func (r *Receipt) fixed() []fixedField {
	return []fixedField{
		{offNode, r.Node[:]},
		{offPrevious, r.Previous[:]},
		{offNonce, r.Nonce[:]},
		{offImage, r.ImageDigest[:]},
		{offWorkload, r.WorkloadDigest[:]},
		{offStdout, r.StdoutDigest[:]},
		{offStderr, r.StderrDigest[:]},
		{offContainer, r.ContainerID[:]},
		{offState, r.ExecutionState[:]},
		{offProof, r.Proof[:]},
		{offSignature, r.Signature[:]},
	}
}

type fixedField struct {
	offset int
	bytes  []byte
}

// The offsets add up to the size, or this does not compile.
var _ = [1]struct{}{}[ReceiptSize-(offSignature+ed25519.SignatureSize)]

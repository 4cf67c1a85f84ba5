package ledger_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/ledger"
)

func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func publicKey(key ed25519.PrivateKey) [32]byte {
	return [32]byte(key.Public().(ed25519.PublicKey))
}

// sealed returns a receipt in which every field differs from zero.
func sealed(t testing.TB, key ed25519.PrivateKey) *ledger.Receipt {
	t.Helper()
	d := func(b byte) (d [32]byte) { return [32]byte(bytes.Repeat([]byte{b}, 32)) }
	r := &ledger.Receipt{
		ChainID: "entroos-0123456789abcdef", Node: publicKey(key), Sequence: 42, Previous: d(1),
		Nonce: d(2), ImageDigest: d(3), WorkloadDigest: d(4), StdoutDigest: d(5), StderrDigest: d(6),
		ExitCode: 137, Signal: 9, OOMKilled: true, Outcome: ledger.OutcomeOOMKilled,
		StartedUnixNano: 1_700_000_000_000_000_000, FinishedUnixNano: 1_700_000_001_000_000_000,
		Usage: ledger.Usage{
			CPUUserMicros: 1, CPUSystemMicros: 2, MemoryPeakBytes: 3,
			IOReadBytes: 4, IOWriteBytes: ledger.NotMeasured, PidsPeak: 6, WallMicros: 7,
		},
	}
	if err := r.Seal(key); err != nil {
		t.Fatal(err)
	}
	return r
}

func encode(t testing.TB, r *ledger.Receipt) []byte {
	t.Helper()
	b, err := r.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func anyReceipt(t *rapid.T) *ledger.Receipt {
	d := func(name string) [32]byte {
		return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, name))
	}
	usage := rapid.OneOf(rapid.Uint64(), rapid.Just(ledger.NotMeasured))
	return &ledger.Receipt{
		Version:  ledger.Version,
		ChainID:  rapid.StringMatching(`[!-~]{1,32}`).Draw(t, "chain"),
		Node:     d("node"),
		Sequence: rapid.Uint64Range(1, math.MaxUint64).Draw(t, "sequence"),
		Previous: d("previous"), Nonce: d("nonce"), ImageDigest: d("image"), WorkloadDigest: d("workload"),
		StdoutDigest: d("stdout"), StderrDigest: d("stderr"),
		ExitCode: rapid.Int32().Draw(t, "exit"), Signal: rapid.Int32().Draw(t, "signal"),
		OOMKilled:       rapid.Bool().Draw(t, "oom"),
		Outcome:         rapid.SampledFrom([]ledger.Outcome{1, 2, 3, 4, 5}).Draw(t, "outcome"),
		StartedUnixNano: rapid.Int64().Draw(t, "started"), FinishedUnixNano: rapid.Int64().Draw(t, "finished"),
		Usage: ledger.Usage{
			CPUUserMicros: usage.Draw(t, "u0"), CPUSystemMicros: usage.Draw(t, "u1"), MemoryPeakBytes: usage.Draw(t, "u2"),
			IOReadBytes: usage.Draw(t, "u3"), IOWriteBytes: usage.Draw(t, "u4"), PidsPeak: usage.Draw(t, "u5"), WallMicros: usage.Draw(t, "u6"),
		},
		ContainerID: d("c_id"), ExecutionState: d("E_s"), Proof: d("P"),
		Signature: [64]byte(rapid.SliceOfN(rapid.Byte(), 64, 64).Draw(t, "signature")),
	}
}

func TestEncodingRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyReceipt(t)
		b, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != ledger.ReceiptSize {
			t.Fatalf("%d bytes", len(b))
		}
		var got ledger.Receipt
		if err := got.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if got != *r {
			t.Fatalf("got %+v\nwant %+v", got, *r)
		}
	})
}

func TestSealVerifies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := testKey(rapid.Byte().Draw(t, "key"))
		r := anyReceipt(t)
		r.Node = publicKey(key)
		if err := r.Seal(key); err != nil {
			t.Fatal(err)
		}
		if err := r.Verify(); err != nil {
			t.Fatal(err)
		}
	})
}

// Every single bit of a receipt's encoding is held by its digests, its
// signature or its form.
func TestEveryBitFlipIsRefused(t *testing.T) {
	good := encode(t, sealed(t, testKey(1)))
	for bit := range 8 * len(good) {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		var r ledger.Receipt
		if err := r.UnmarshalBinary(b); err != nil {
			if r != (ledger.Receipt{}) {
				t.Fatalf("bit %d: a refused encoding left something behind", bit)
			}
			continue
		}
		if err := r.Verify(); err == nil {
			t.Fatalf("bit %d of byte %d flipped, and it verifies", bit%8, bit/8)
		}
	}
}

// A thousand receipts, each with one random bit of its fields flipped and the
// signature made good again: the digests alone refuse them.
func TestDigestsHoldTheirFields(t *testing.T) {
	key := testKey(1)
	for range 1000 {
		r := sealed(t, key)
		switch rand.IntN(6) {
		case 0:
			r.StdoutDigest[rand.IntN(32)] ^= 1 << rand.IntN(8)
		case 1:
			r.ExitCode ^= 1 << rand.IntN(31)
		case 2:
			r.Usage.WallMicros ^= 1 << rand.IntN(64)
		case 3:
			r.Nonce[rand.IntN(32)] ^= 1 << rand.IntN(8)
		case 4:
			r.OOMKilled = !r.OOMKilled
		case 5:
			r.Proof[rand.IntN(32)] ^= 1 << rand.IntN(8)
		}
		enc := encode(t, r)
		unsigned := enc[:len(enc)-ed25519.SignatureSize]
		copy(r.Signature[:], ed25519.Sign(key, append([]byte("entroos/receipt/v1"), unsigned...)))
		if err := r.Verify(); !errors.Is(err, ledger.ErrDigest) {
			t.Fatalf("got %v", err)
		}
	}
}

func TestMalformed(t *testing.T) {
	good := encode(t, sealed(t, testKey(1)))
	change := func(at int, value byte) []byte {
		b := bytes.Clone(good)
		b[at] = value
		return b
	}
	for name, c := range map[string]struct {
		encoding []byte
		want     error
	}{
		"empty":               {nil, ledger.ErrMalformed},
		"short":               {good[:len(good)-1], ledger.ErrMalformed},
		"long":                {append(bytes.Clone(good), 0), ledger.ErrMalformed},
		"other version":       {change(1, 2), ledger.ErrVersion},
		"oom neither 0 nor 1": {change(274, 2), ledger.ErrMalformed},
		"outcome 0":           {change(275, 0), ledger.ErrMalformed},
		"outcome 6":           {change(275, 6), ledger.ErrMalformed},
		"chain id padding":    {change(33, 'x'), ledger.ErrMalformed},
		"chain id empty":      {change(2, 0), ledger.ErrMalformed},
		"chain id not ASCII":  {change(3, 0x80), ledger.ErrMalformed},
		"sequence 0":          {append(append(bytes.Clone(good[:66]), make([]byte, 8)...), good[74:]...), ledger.ErrMalformed},
	} {
		var r ledger.Receipt
		if err := r.UnmarshalBinary(c.encoding); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	r := sealed(t, testKey(1))
	before := *r
	if err := r.Seal(testKey(2)); err == nil {
		t.Error("sealed with another node's key")
	}
	if err := r.Seal(nil); err == nil {
		t.Error("sealed without a key")
	}
	r.ChainID = "a-chain-id-that-is-longer-than-32-bytes"
	before.ChainID = r.ChainID
	if err := r.Seal(testKey(1)); !errors.Is(err, ledger.ErrMalformed) {
		t.Errorf("long chain id: %v", err)
	}
	if *r != before {
		t.Error("a failed Seal changed the receipt")
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(encode(f, sealed(f, testKey(1))))
	f.Add([]byte{})
	f.Add(make([]byte, ledger.ReceiptSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r ledger.Receipt
		if r.UnmarshalBinary(b) != nil {
			return
		}
		again, err := r.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("decoded, but encodes to something else: %v", err)
		}
		if err := r.Verify(); err != nil && !errors.Is(err, ledger.ErrDigest) && !errors.Is(err, ledger.ErrSignature) {
			t.Fatal(err)
		}
	})
}

// BenchmarkVerify is a receipt's whole verification: digests and signature.
// BenchmarkEd25519 is the part of it that is bare Ed25519.
func BenchmarkVerify(b *testing.B) {
	r := sealed(b, testKey(1))
	for b.Loop() {
		if err := r.Verify(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEd25519(b *testing.B) {
	key := testKey(1)
	message := make([]byte, ledger.ReceiptSize)
	signature := ed25519.Sign(key, message)
	public := key.Public().(ed25519.PublicKey)
	for b.Loop() {
		if !ed25519.Verify(public, message, signature) {
			b.Fatal("does not verify")
		}
	}
}

// BenchmarkPredicate is V(P,c) on a receipt.
func BenchmarkPredicate(b *testing.B) {
	r := sealed(b, testKey(1))
	usage := r.Usage.Vector()
	for b.Loop() {
		if !equations.ProofHolds(r.Proof, r.ContainerID, r.ExecutionState, usage) {
			b.Fatal("V(P,c) = 0")
		}
	}
}

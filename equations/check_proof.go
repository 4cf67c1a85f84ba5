package equations

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
)

var proofRows = []Row{
	{41, "proof", "Proof of execution", "P = SHA-256(c_id ‖ E_s ‖ R_u)", "ledger", "recomputes", "ProofOfExecution", checkProof},
	{42, "proof", "Proof predicate", "V(P,c) = 1 ⇔ Hash(P) = Hash(c_id ‖ E_s ‖ R_u)", "ledger", "true for each receipt; false with any bit flipped", "ProofHolds", checkPredicate},
	{43, "proof", "Execution state", "E_s = SHA-256(tag ‖ H(stdout) ‖ H(stderr) ‖ exit ‖ signal ‖ oom)", "nko", "recomputes", "ExecutionState", checkState},
	{44, "proof", "Execution identity", "c_id = SHA-256(tag ‖ node ‖ image ‖ config ‖ nonce)", "nko", "unique", "ExecutionIdentity", checkIdentity},
	{45, "proof", "Output digest", "streaming SHA-256 over the output", "nko", "equals the stored log's, while that is whole", "NewOutputDigest", checkOutputDigest},
	{46, "proof", "Merkle tree hash (RFC 9162)", "leaf SHA-256(0x00‖d), node SHA-256(0x01‖l‖r)", "ledger", "root recomputes", "InclusionRoot", checkMerkle},
	{47, "proof", "Inclusion proof length", "≤ ⌈log n⌉", "ledger", "holds for every proof served", "InclusionBound", checkInclusionLength},
	{48, "proof", "Consistency proof length", "≤ ⌈log n⌉ + 1", "ledger", "holds", "ConsistencyBound", checkConsistency},
	{49, "proof", "Quorum", "voting power > 2/3 of the total", "ledger", "every commit has it", "Quorum", checkQuorum},
	{50, "proof", "Byzantine tolerance", "f = ⌊(n−1)/3⌋", "ledger, console", "n ≥ 3f+1", "ByzantineTolerance", checkTolerance},
	{51, "proof", "Audit detection", "1 − (1−p)^k", "ledger (auditor)", "≥ the confidence asked for", "AuditDetection", checkDetection},
	{52, "proof", "Audit sample", "k = ⌈ln(1−c) / ln(1−p)⌉", "ledger (auditor)", "k ≥ 1", "AuditSample", checkSample},
	{53, "proof", "Re-execution agreement", "identical E_s / executions", "ledger (auditor)", "1, or the node is named", "ReExecutionAgreement", checkAgreement},
	{54, "proof", "Conservation of executions", "started = running + waiting + committed", "nko, ledger", "difference 0, no gap", "ExecutionBalance", checkConservation},
}

const (
	noReceipt = "the ledger has no receipt yet"
	noLedger  = "the ledger does not answer"
	noAuditor = "no auditor runs"
)

// receipts checks the receipts sampled.
func receipts(t *Telemetry, check func(*ReceiptFacts) observation) Verdict {
	if t.Ledger == nil {
		return Verdict{NotApplicable, noLedger}
	}
	return over(t.Ledger.Receipts, noReceipt, func(r *ReceiptFacts) observation {
		o := check(r)
		o.name, o.value = fmt.Sprintf("receipt %d", r.Sequence), none
		return o
	})
}

func checkProof(t *Telemetry) Verdict {
	return receipts(t, func(r *ReceiptFacts) observation {
		want := ProofOfExecution(r.ContainerID, r.State, r.Usage)
		return seen("", 0, want == r.Proof, "P = %x, recomputed %x", r.Proof, want)
	})
}

// flips is how often row 42 flips a bit.
const flips = 1000

func checkPredicate(t *Telemetry) Verdict {
	v := receipts(t, func(r *ReceiptFacts) observation {
		return seen("", 0, ProofHolds(r.Proof, r.ContainerID, r.State, r.Usage), "V(P,c) = 0")
	})
	if v.State != Pass {
		return v
	}
	sample := t.Ledger.Receipts
	random := rand.New(rand.NewPCG(t.Ledger.FlipSeed, flips))
	for range flips {
		r := sample[random.IntN(len(sample))] // a copy
		bit := random.IntN(8 * (3*sha256.Size + 8*UsageFields))
		switch i := bit / 8; {
		case i < sha256.Size:
			r.Proof[i] ^= 1 << (bit % 8)
		case i < 2*sha256.Size:
			r.ContainerID[i-sha256.Size] ^= 1 << (bit % 8)
		case i < 3*sha256.Size:
			r.State[i-2*sha256.Size] ^= 1 << (bit % 8)
		default:
			r.Usage[(i-3*sha256.Size)/8] ^= 1 << (bit % 64)
		}
		if ProofHolds(r.Proof, r.ContainerID, r.State, r.Usage) {
			return Verdict{Fail, fmt.Sprintf("receipt %d: V(P,c) = 1 with bit %d flipped", r.Sequence, bit)}
		}
	}
	return Verdict{Pass, fmt.Sprintf("true for %d, false for %d with a bit flipped", len(sample), flips)}
}

func checkState(t *Telemetry) Verdict {
	return receipts(t, func(r *ReceiptFacts) observation {
		want := ExecutionState(r.Stdout, r.Stderr, r.Exit, r.Signal, r.OOM)
		return seen("", 0, want == r.State, "E_s = %x, recomputed %x", r.State, want)
	})
}

func checkIdentity(t *Telemetry) Verdict {
	known := make(map[Digest]uint64)
	return receipts(t, func(r *ReceiptFacts) observation {
		want := ExecutionIdentity(r.Node, r.Image, r.Workload, r.Nonce)
		if want != r.ContainerID {
			return seen("", 0, false, "c_id = %x, recomputed %x", r.ContainerID, want)
		}
		other, twice := known[want]
		known[want] = r.Sequence
		return seen("", 0, !twice, "has the c_id of receipt %d", other)
	})
}

func checkOutputDigest(t *Telemetry) Verdict {
	return over(t.Logs, "no log of an ended execution is stored whole", func(f *LogFacts) observation {
		return seen(f.Container+" "+f.Stream, none, f.Written == f.Stored, "%x written, %x stored", f.Written, f.Stored)
	})
}

func checkMerkle(t *Telemetry) Verdict {
	return inclusions(t, func(f *InclusionFacts) observation {
		root, err := InclusionRoot(f.Leaf, f.Index, f.Size, f.Path)
		if err != nil {
			return seen("", none, false, "%v", err)
		}
		if f.Size == t.Ledger.Size && f.Root != t.Ledger.Root {
			return seen("", none, false, "root %x, the ledger's is %x", f.Root, t.Ledger.Root)
		}
		return seen("", none, root == f.Root, "root %x, recomputed %x", f.Root, root)
	})
}

func inclusions(t *Telemetry, check func(*InclusionFacts) observation) Verdict {
	if t.Ledger == nil {
		return Verdict{NotApplicable, noLedger}
	}
	return over(t.Ledger.Inclusions, noReceipt, func(f *InclusionFacts) observation {
		o := check(f)
		o.name = fmt.Sprintf("leaf %d of %d", f.Index, f.Size)
		return o
	})
}

func checkInclusionLength(t *Telemetry) Verdict {
	return inclusions(t, func(f *InclusionFacts) observation {
		bound := InclusionBound(f.Size)
		return seen("", float64(len(f.Path)), len(f.Path) <= bound, "%d hashes, the bound is %d", len(f.Path), bound)
	})
}

func checkConsistency(t *Telemetry) Verdict {
	if t.Ledger == nil {
		return Verdict{NotApplicable, noLedger}
	}
	return over(t.Ledger.Consistency, "no consistency proof was served", func(f *ConsistencyFacts) observation {
		name := fmt.Sprintf("%d to %d", f.First, f.Second)
		if err := Consistent(f.First, f.Second, f.FirstRoot, f.SecondRoot, f.Path); err != nil {
			return seen(name, 0, false, "%v", err)
		}
		if f.Second == t.Ledger.Size && f.SecondRoot != t.Ledger.Root {
			return seen(name, 0, false, "root %x, the ledger's is %x", f.SecondRoot, t.Ledger.Root)
		}
		if f.First == t.Ledger.Size && f.FirstRoot != t.Ledger.Root {
			return seen(name, 0, false, "root %x, the ledger's is %x", f.FirstRoot, t.Ledger.Root)
		}
		bound := ConsistencyBound(f.Second)
		return seen(name, float64(len(f.Path)), len(f.Path) <= bound, "%d hashes, the bound is %d", len(f.Path), bound)
	})
}

func checkQuorum(t *Telemetry) Verdict {
	if t.Ledger == nil {
		return Verdict{NotApplicable, noLedger}
	}
	return over(t.Ledger.Commits, noReceipt, func(f *CommitFacts) observation {
		return seen(fmt.Sprintf("block %d", f.Height), float64(f.Power)/float64(f.Total), Quorum(f.Power, f.Total), "signed by %d of %d", f.Power, f.Total)
	})
}

func checkTolerance(t *Telemetry) Verdict {
	return one(t.Ledger, noLedger, func(f *LedgerFacts) observation {
		if f.Validators == 0 {
			return observation{skip: true}
		}
		want := ByzantineTolerance(f.Validators)
		return seen("", float64(want), want == f.Tolerated && f.Validators >= 3*want+1, "f = %d of %d validators, recomputed %d", f.Tolerated, f.Validators, want)
	})
}

func checkDetection(t *Telemetry) Verdict {
	return one(t.Audit, noAuditor, func(f *AuditFacts) observation {
		d := AuditDetection(f.FaultShare, f.Sample)
		if !same(d, f.Detection) {
			return seen("", d, false, notRecomputed, f.Detection, d)
		}
		return seen("", d, d >= f.Confidence-1e-12, "%v detected, %v asked for", d, f.Confidence)
	})
}

func checkSample(t *Telemetry) Verdict {
	return one(t.Audit, noAuditor, func(f *AuditFacts) observation {
		k := AuditSample(f.FaultShare, f.Confidence)
		return seen("", float64(f.Sample), f.Sample >= 1 && f.Sample == k, "%d audited, %d recomputed", f.Sample, k)
	})
}

func checkAgreement(t *Telemetry) Verdict {
	return over(t.ReExecutions, "no job was executed again", func(f *ReExecutionFacts) observation {
		if len(f.States) == 0 || len(f.Nodes) != len(f.States) {
			return seen(f.Job, 0, false, "%d states of %d nodes", len(f.States), len(f.Nodes))
		}
		share := ReExecutionAgreement(f.States)
		if share == 1 {
			return observation{name: f.Job, value: share}
		}
		named := make(map[string]bool)
		for _, n := range f.Named {
			named[n] = true
		}
		common := mostCommon(f.States)
		for i, s := range f.States {
			if s != common && !named[f.Nodes[i]] {
				return seen(f.Job, share, false, "agreement %v, and %s is not named", share, f.Nodes[i])
			}
		}
		return observation{name: f.Job, value: share}
	})
}

func mostCommon(states []Digest) (common Digest) {
	counts := make(map[Digest]int)
	for _, s := range states {
		counts[s]++
	}
	for _, s := range states {
		if counts[s] > counts[common] {
			common = s
		}
	}
	return common
}

func checkConservation(t *Telemetry) Verdict {
	return one(t.Conservation, noLedger, func(f *ConservationFacts) observation {
		var waiting uint64
		for _, n := range f.Waiting {
			if n > f.Committed { // others are committed, and on their way out
				waiting++
			}
		}
		if f.Committed > f.Last {
			return seen("", 0, false, "%d committed, and only %d receipts were made", f.Committed, f.Last)
		}
		if gap := SequenceGap(f.Committed, f.Waiting, f.Last); gap != 0 {
			return seen("", 0, false, "receipt %d of %d is neither waiting nor committed", gap, f.Last)
		}
		difference := ExecutionBalance(f.Started, f.Running, waiting, f.Committed)
		return seen("", float64(difference), difference == 0, "%d started, %d running, %d waiting, %d committed: difference %d",
			f.Started, f.Running, waiting, f.Committed, difference)
	})
}

package equations_test

import (
	"fmt"
	"math"
	"time"

	"github.com/entroos/entroos/equations"
)

// wellNode is the telemetry of a node that has every subject, and on which
// every row holds: its results are computed by the equations, from inputs
// that are written down here.
func wellNode() *equations.Telemetry {
	t := &equations.Telemetry{
		Noise:        wellNoise(),
		Placement:    wellPlacement(),
		Traffic:      []equations.TrafficFacts{wellTraffic()},
		Governor:     wellGovernor(),
		Ledger:       wellLedger(),
		Morph:        wellMorph(),
		Fairness:     &equations.FairnessFacts{Received: []time.Duration{10 * time.Second, 19 * time.Second}, Entitled: []time.Duration{10 * time.Second, 20 * time.Second}},
		Utilisation:  &equations.UtilisationFacts{Busy: time.Second, Elapsed: 2 * time.Second, CPUs: 4, Utilisation: 0.125},
		Pressure:     []equations.PressureFacts{{Resource: "cpu", Stalled: time.Second, Elapsed: 4 * time.Second, Share: 0.25}},
		BackPressure: &equations.BackPressureFacts{ServiceRate: 20, ArrivalRate: 10, Sojourn: 100 * time.Millisecond},
		Energy:       []equations.EnergyFacts{{Domain: "package-0", Before: 1<<32 - 100, After: 100, Span: 1 << 32, Unit: 0.5, Energy: 100}},
		Logs:         []equations.LogFacts{{Container: "web", Stream: "stdout", Written: digest(1), Stored: digest(1)}},
		Audit:        &equations.AuditFacts{FaultShare: 0.01, Confidence: 0.95, Sample: 299, Detection: equations.AuditDetection(0.01, 299)},
		ReExecutions: []equations.ReExecutionFacts{
			{Job: "same", States: []equations.Digest{digest(1), digest(1)}, Nodes: []string{"a", "b"}},
			{Job: "other", States: []equations.Digest{digest(1), digest(2), digest(1)}, Nodes: []string{"a", "b", "c"}, Named: []string{"b"}},
		},
		// 3 to 5 are committed and on their way out of the outbox.
		Conservation: &equations.ConservationFacts{Started: 10, Running: 2, Waiting: []uint64{3, 4, 5, 6, 7, 8}, Committed: 5, Last: 8},
		Restarts:     []equations.RestartFacts{{Service: "ntp", Initial: time.Second, Limit: time.Minute, Failures: 3, Jitter: 0.25, Delay: 9 * time.Second}},
		Boot:         &equations.BootFacts{Good: 8, Boots: 8, Tries: 3, TriesShown: 3, Probability: 0.9, Assurance: 0.999},
		Retransmission: &equations.RetransmissionFacts{
			RoundTrip: roundTrip(time.Second), Granularity: time.Millisecond, Timeout: 3 * time.Second,
		},
		Buckets:  []equations.BucketFacts{{Name: "log", Before: 3, Rate: 2, Burst: 10, Elapsed: time.Second, After: 5}},
		Services: []equations.ServiceFacts{{Service: "ntp", Up: 99 * time.Hour, Down: time.Hour, Failures: 3, Availability: 0.99}},
	}
	bytes := histogram(func(i int) uint64 { return uint64(i%16 + 1) })
	t.Images = []equations.ImageFacts{
		{Image: "busybox", Bytes: bytes, Entropy: equations.ContainerEntropy(bytes)},
		{Image: "imported before", Entropy: 0.5},
	}
	latest, history := histogram(func(i int) uint64 { return uint64(i + 1) }), histogram(func(i int) uint64 { return uint64(256 - i) })
	t.Output = []equations.OutputFacts{{
		Container: "web", Latest: *latest, History: *history,
		Divergence: equations.KullbackLeibler(latest[:], history[:]), JensenShannon: equations.JensenShannon(latest[:], history[:]),
	}}
	t.Smoothing = []equations.SmoothingFacts{{
		Quantity: "E_n", Elapsed: time.Minute, HalfLife: time.Minute, Lambda: 0.5, Old: 0.8, Latest: 0.6, Result: 0.7,
	}}
	total := uint64(100 + 300)
	for _, c := range []struct {
		name   string
		share  float64
		weight uint64
	}{{"web", 0.5, 100}, {"db", 1.5, 300}} {
		t.Containers = append(t.Containers, equations.ContainerFacts{
			Container: c.name, Share: c.share, MeanShare: 0.5, Weight: c.weight,
			Entitlement: equations.Entitlement(c.weight, total, t.Governor.After.Quota),
			MemoryMax:   64 << 20, MemoryHigh: equations.MemoryHigh(64<<20) / 4096 * 4096,
			Periods: 40, Throttled: 10, ThrottleRatio: 0.25,
		})
	}
	t.Containers[1].MemoryMax, t.Containers[1].MemoryHigh = 0, 0
	t.Liveness = []equations.LivenessFacts{{Name: "peer", Elapsed: time.Second, Floor: 100 * time.Millisecond, Live: true}}
	live := &t.Liveness[0]
	for range 10 {
		live.Seen.Add(time.Second)
	}
	live.Phi = live.Seen.Phi(live.Elapsed, live.Floor)
	return t
}

func roundTrip(r time.Duration) (t equations.RoundTrip) {
	t.Measure(r)
	return t
}

func histogram(count func(int) uint64) *equations.Histogram {
	h := new(equations.Histogram)
	for i := range h {
		h[i] = count(i)
	}
	return h
}

func wellNoise() *equations.NoiseFacts {
	f := &equations.NoiseFacts{
		Alpha: equations.HealthAlpha, HealthEntropy: 0.25, LongestRun: 20, Window: equations.ProportionWindow, LargestCount: 600, Healthy: true, Age: time.Hour,
	}
	f.Statistics.Counts = [2]uint64{33000, 32536}
	f.Statistics.Transitions = [2][2]uint64{{17000, 16000}, {15999, 16536}}
	counts := f.Statistics.Counts[:]
	f.MostCommonValue, f.Collision = equations.MostCommonValueEntropy(counts), equations.CollisionEntropy(counts)
	f.Markov = equations.MarkovEntropy(f.Statistics.Counts, f.Statistics.Transitions)
	f.RepetitionCutoff = equations.NewRepetitionCount(f.HealthEntropy, f.Alpha).Cutoff
	f.ProportionCutoff = equations.NewAdaptiveProportion(f.Window, f.HealthEntropy, f.Alpha).Cutoff
	f.Assessed = equations.NodeEntropy(f.MostCommonValue, f.Markov, f.Healthy)
	f.Smoothing = &equations.SmoothingFacts{Quantity: "E_n", Old: 0.5, Latest: f.Assessed, Lambda: 0.5}
	f.Smoothing.Result = equations.Smooth(0.5, f.Assessed, 0.5)
	f.Entropy = f.Smoothing.Result
	return f
}

// wellPlacement has ten nodes, with more containers the higher their entropy.
func wellPlacement() *equations.PlacementFacts {
	p := &equations.PlacementFacts{
		Offered: 60, Admitted: 59,
		Queue:    &equations.QueueFacts{Elapsed: 10 * time.Second, Arrivals: 4, Length: 8 * time.Second, Sojourn: 8 * time.Second},
		Sampling: &equations.SamplingFacts{Quantile: 0.95, Confidence: 0.99, Size: 90, Scanned: 50, Top: 49},
	}
	placed := equations.DecisionFacts{Target: 0.2, Weight: 0.7, Replica: "web", Entropy: 0.8, Demand: 0.1, Demands: []float64{100, 64}, Chosen: 0}
	waits := equations.DecisionFacts{Target: 0.2, Weight: 0.7, Replica: "large", Entropy: 0.8, Demand: 0.9, Demands: []float64{900, 64}, Chosen: -1}
	var largest float64 // with the replica; the first node's
	for i := range 10 {
		n := equations.NodeFacts{Node: fmt.Sprint("node", i), Entropy: 0.95 - 0.05*float64(i), Capacity: 1, Usage: 0.3, Containers: 12 - i}
		p.Nodes = append(p.Nodes, n)
		c := equations.CandidateFacts{
			Node: n.Node, Entropy: n.Entropy, Capacity: n.Capacity, Usage: n.Usage,
			Score:      equations.RoutingScore(n.Entropy, placed.Entropy, n.Capacity, n.Usage, placed.Target),
			Capacities: []float64{1000, 512}, DominantShare: 0.125,
		}
		with := equations.RoutingScore(n.Entropy, placed.Entropy, n.Capacity, n.Usage+placed.Demand, placed.Target)
		largest = max(largest, with)
		c.Rank = equations.PriorityBlend(with, largest, c.Capacity, c.Usage+placed.Demand, placed.Weight)
		placed.Candidates = append(placed.Candidates, c)
		waits.Candidates = append(waits.Candidates, equations.CandidateFacts{Node: n.Node, Filtered: true})
	}
	p.Decisions = []equations.DecisionFacts{placed, waits}
	var entropies, containers []float64
	for _, n := range p.Nodes {
		entropies, containers = append(entropies, n.Entropy), append(containers, float64(n.Containers))
	}
	r := equations.PearsonCorrelation(entropies, containers)
	rank := equations.SpearmanCorrelation(entropies, containers)
	p.Correlation, p.RankCorrelation = &r, &rank
	return p
}

func wellTraffic() equations.TrafficFacts {
	f := equations.TrafficFacts{
		Service: "shop", Nodes: []uint64{11, 12, 13}, Scores: []float64{0.1, 0.2, 0.2},
		Removal: &equations.RemovalFacts{Removed: 11, Share: 0.25, Before: []uint64{11, 12, 13, 12}, After: []uint64{13, 12, 13, 12}},
	}
	f.Weights = equations.TrafficWeights(make([]float64, 3), f.Scores)
	f.Size = 1024
	f.Slots = equations.SlotApportionment(make([]int, 3), f.Weights, 1024)
	for key := range uint64(16) {
		f.Keys = append(f.Keys, key)
		f.Choices = append(f.Choices, equations.RendezvousChoice(key, f.Nodes, f.Weights))
	}
	return f
}

func wellGovernor() *equations.GovernorFacts {
	f := &equations.GovernorFacts{
		Governor: equations.NewGovernor(0.2), CPUs: 4, Interval: time.Second, Elapsed: time.Second, Utilisation: 0.21, Period: equations.QuotaPeriod,
		Step:      []equations.StepFacts{{After: time.Second, Utilisation: 0.3}, {After: 11 * time.Second, Utilisation: 0.205}},
		Saturated: &equations.UtilisationFacts{Busy: 808 * time.Millisecond, Elapsed: time.Second, CPUs: 4},
	}
	f.Before = f.Start()
	f.After = f.Governor.Step(f.Before, f.Utilisation, f.Elapsed)
	f.Quota = equations.CPUQuota(f.After.Quota, f.CPUs, f.Period)
	return f
}

func wellLedger() *equations.LedgerFacts {
	f := &equations.LedgerFacts{
		Validators: 4, Tolerated: 1, FlipSeed: 7,
		Commits: []equations.CommitFacts{{Height: 5, Power: 3, Total: 4}},
	}
	for i := range uint64(3) {
		r := equations.ReceiptFacts{
			Sequence: i + 1, Node: digest(1), Image: digest(2), Workload: digest(3), Nonce: digest(byte(10 + i)),
			Stdout: digest(4), Stderr: digest(5), Exit: 1, Signal: 9, OOM: true, Usage: equations.UsageVector{1, 2, 3, 4, 5, 6, math.MaxUint64},
		}
		r.ContainerID = equations.ExecutionIdentity(r.Node, r.Image, r.Workload, r.Nonce)
		r.State = equations.ExecutionState(r.Stdout, r.Stderr, r.Exit, r.Signal, r.OOM)
		r.Proof = equations.ProofOfExecution(r.ContainerID, r.State, r.Usage)
		f.Receipts = append(f.Receipts, r)
	}
	a, b, c := equations.MerkleLeaf([]byte("a")), equations.MerkleLeaf([]byte("b")), equations.MerkleLeaf([]byte("c"))
	two := equations.MerkleNode(a, b)
	three := equations.MerkleNode(two, c)
	f.Size, f.Root = 3, three
	f.Inclusions = []equations.InclusionFacts{{Leaf: c, Index: 2, Size: 3, Path: []equations.Digest{two}, Root: three}}
	f.Consistency = []equations.ConsistencyFacts{{First: 2, Second: 3, FirstRoot: two, SecondRoot: three, Path: []equations.Digest{c}}}
	return f
}

func wellMorph() *equations.MorphFacts {
	bytes := histogram(func(i int) uint64 { return uint64(i%4) * 100 })
	h := equations.ShannonEntropy(bytes[:])
	dense := histogram(func(int) uint64 { return 32 })
	numbers := []int64{10, 20, 30, 41}
	f := &equations.MorphFacts{
		Original: 1000, Stored: 40, Ratio: 0.04, Unique: 50, Logical: 100, Deduplication: 0.5,
		Coded: []equations.CodedFacts{{Morphed: 10, Plain: 20}, {Morphed: 30, Plain: 30}}, Gain: 0.2,
		Chunks: &equations.ChunkFacts{Minimum: 256, Maximum: 4096, Bits: 10, Bytes: 1_280_000, Count: 1000, Expected: equations.ChunkSize(256, 4096, 10)},
		Blocks: []equations.BlockFacts{{
			Bytes: *bytes, Entropy: h, Redundancy: 1 - h/8, OrderZero: bytes.Total(),
			Bits: []float64{100, 60}, Headers: []float64{0, 8}, Chosen: 1,
			Output: *dense, Density: 1,
		}},
		Deltas: []equations.DeltaFacts{{Order: 2, Numbers: numbers, Deltas: equations.ZigzagDelta(make([]uint64, 4), numbers, 2)}},
		Reads:  []equations.ReadFacts{{Block: 4096, Returned: 1024, Decoded: 8192, Amplification: 8}},
	}
	return f
}

package equations_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/equations"
)

type telemetry = equations.Telemetry

// change makes a row fail, or takes its subject away.
type change func(*telemetry)

// cases has, for each row, a telemetry on which it fails and one on which it
// does not apply.
var cases = map[int]struct{ fail, absent change }{
	1:  {func(t *telemetry) { t.Images[0].Entropy += 0.01 }, func(t *telemetry) { t.Images = t.Images[1:] }},
	2:  {func(t *telemetry) { t.Images[0].Entropy = math.NaN() }, func(t *telemetry) { t.Images = nil }},
	3:  {func(t *telemetry) { t.Noise.MostCommonValue = 0.999 }, func(t *telemetry) { t.Noise = nil }},
	4:  {func(t *telemetry) { t.Noise.Collision = t.Noise.MostCommonValue / 2 }, noNoise},
	5:  {func(t *telemetry) { t.Noise.Markov = 1.2 }, noNoise},
	6:  {func(t *telemetry) { t.Noise.LongestRun = t.Noise.RepetitionCutoff }, noHealth},
	7:  {func(t *telemetry) { t.Noise.ProportionCutoff-- }, noHealth},
	8:  {func(t *telemetry) { t.Noise.Healthy, t.Noise.Assessed = false, 0 }, noNoise},
	9:  {func(t *telemetry) { t.Images[1].Entropy = 1.01 }, func(t *telemetry) { t.Images = nil }},
	10: {func(t *telemetry) { t.Output[0].Divergence = -0.1 }, func(t *telemetry) { t.Output = nil }},
	11: {func(t *telemetry) { t.Output[0].Latest[3] += 1000 }, func(t *telemetry) { t.Output = nil }},
	12: {func(t *telemetry) { t.Smoothing[0].Result = 0.9 }, func(t *telemetry) { t.Smoothing = nil }},

	13: {func(t *telemetry) { c := candidate(t, 3); c.Score = math.Nextafter(c.Score, 1) }, noDecision},
	14: {func(t *telemetry) { candidate(t, 3).Rank += 0.001 }, noDecision},
	15: {func(t *telemetry) { t.Placement.Decisions[0].Threshold = 0.5 }, noDecision},
	16: {func(t *telemetry) { t.Traffic[0].Weights[0] += 0.1 }, noTraffic},
	17: {func(t *telemetry) { t.Traffic[0].Choices[5] ^= 1 }, func(t *telemetry) { t.Traffic[0].Keys = nil }},
	18: {func(t *telemetry) { t.Traffic[0].Slots[0]++; t.Traffic[0].Slots[1]-- }, noTraffic},
	19: {func(t *telemetry) { t.Traffic[0].Removal.After[1] = 13 }, func(t *telemetry) { t.Traffic[0].Removal = nil }},
	20: {func(t *telemetry) { reverse(t.Placement.Nodes); t.Placement.Correlation = nil }, func(t *telemetry) { t.Placement.Nodes = t.Placement.Nodes[:1] }},
	21: {func(t *telemetry) { t.Placement.Nodes[2].Entropy = math.NaN() }, sameEntropy},
	22: {func(t *telemetry) { t.Fairness.Received[0] *= 3 }, func(t *telemetry) { t.Fairness.Received, t.Fairness.Entitled = nil, nil }},
	23: {func(t *telemetry) { t.Placement.Admitted = 50 }, func(t *telemetry) { t.Placement.Offered, t.Placement.Admitted = 0, 0 }},
	24: {func(t *telemetry) { t.Placement.Sampling.Top = 40 }, func(t *telemetry) { t.Placement.Sampling.Scanned = 0 }},

	25: {func(t *telemetry) { t.Utilisation.Utilisation = 0.5 }, func(t *telemetry) { t.Utilisation = nil }},
	26: {func(t *telemetry) { t.Governor.Quota += time.Microsecond }, noGovernor},
	27: {func(t *telemetry) { t.Containers[0].Weight++ }, noContainers},
	28: {func(t *telemetry) { t.Containers[0].Entitlement += 0.01 }, noContainers},
	29: {func(t *telemetry) { t.Governor.Step[1].Utilisation = 0.22 }, func(t *telemetry) { t.Governor.Step = t.Governor.Step[:1] }},
	30: {func(t *telemetry) { t.Governor.Ki = 3 }, noGovernor},
	31: {func(t *telemetry) { t.Placement.Nodes[0].Usage = 1.2 }, func(t *telemetry) { t.Placement.Nodes = nil }},
	32: {func(t *telemetry) { t.Containers[0].MemoryHigh = t.Containers[0].MemoryMax }, func(t *telemetry) { t.Containers = t.Containers[1:] }},
	33: {func(t *telemetry) { t.Pressure[0].Share = 0.3 }, func(t *telemetry) { t.Pressure = nil }},
	34: {func(t *telemetry) { t.Containers[0].Throttled = 41 }, noContainers},
	35: {func(t *telemetry) { t.Smoothing[0].Lambda = 1 }, func(t *telemetry) { t.Smoothing = nil }},
	36: {func(t *telemetry) { t.Placement.Queue.Length += time.Second }, func(t *telemetry) { t.Placement.Queue = nil }},
	37: {func(t *telemetry) { t.BackPressure.ArrivalRate = 30 }, func(t *telemetry) { t.BackPressure = nil }},
	38: {func(t *telemetry) { candidate(t, 0).DominantShare = 0.1 }, noDecision},
	39: {func(t *telemetry) { t.Governor.Saturated.Busy = 900 * time.Millisecond }, func(t *telemetry) { t.Governor.Saturated = nil }},
	40: {func(t *telemetry) { t.Energy[0].Energy = -1 }, func(t *telemetry) { t.Energy = nil }},

	41: {func(t *telemetry) { t.Ledger.Receipts[1].Proof[0] ^= 1 }, noReceipts},
	42: {func(t *telemetry) { t.Ledger.Receipts[1].Usage[0]++ }, noReceipts},
	43: {func(t *telemetry) { t.Ledger.Receipts[1].Exit++ }, noReceipts},
	44: {func(t *telemetry) { t.Ledger.Receipts[1] = t.Ledger.Receipts[0] }, noReceipts},
	45: {func(t *telemetry) { t.Logs[0].Stored[0] ^= 1 }, func(t *telemetry) { t.Logs = nil }},
	46: {func(t *telemetry) { t.Ledger.Inclusions[0].Leaf[0] ^= 1 }, func(t *telemetry) { t.Ledger.Inclusions = nil }},
	47: {func(t *telemetry) { f := &t.Ledger.Inclusions[0]; f.Path = append(f.Path, f.Path[0], f.Path[0]) }, func(t *telemetry) { t.Ledger = nil }},
	48: {func(t *telemetry) { t.Ledger.Consistency[0].SecondRoot[0] ^= 1 }, func(t *telemetry) { t.Ledger.Consistency = nil }},
	49: {func(t *telemetry) { t.Ledger.Commits[0].Total = 5 }, func(t *telemetry) { t.Ledger.Commits = nil }},
	50: {func(t *telemetry) { t.Ledger.Tolerated = 2 }, func(t *telemetry) { t.Ledger.Validators = 0 }},
	51: {func(t *telemetry) { t.Audit.Confidence = 0.99 }, noAudit},
	52: {func(t *telemetry) { t.Audit.Sample = 200 }, noAudit},
	53: {func(t *telemetry) { t.ReExecutions[1].Named = nil }, func(t *telemetry) { t.ReExecutions = nil }},
	54: {func(t *telemetry) { t.Conservation.Waiting = []uint64{6, 8} }, func(t *telemetry) { t.Conservation = nil }},

	55: {func(t *telemetry) { t.Morph.Ratio = 0.05 }, noMorph},
	56: {func(t *telemetry) { t.Morph.Blocks[0].OrderZero = 100 }, func(t *telemetry) { t.Morph.Blocks[0].OrderZero = 0 }},
	57: {func(t *telemetry) { t.Morph.Blocks[0].Redundancy = -0.1 }, noMorph},
	58: {func(t *telemetry) { t.Morph.Blocks[0].Chosen = 0 }, func(t *telemetry) { t.Morph.Blocks = nil }},
	59: {func(t *telemetry) { t.Morph.Coded[1].Morphed, t.Morph.Gain = 60, -0.4 }, func(t *telemetry) { t.Morph.Coded = nil }},
	60: {func(t *telemetry) { t.Morph.Chunks.Count = 500 }, func(t *telemetry) { t.Morph.Chunks.Bytes = 64<<10 - 1 }},
	61: {func(t *telemetry) { t.Morph.Unique, t.Morph.Deduplication = 200, 2 }, noMorph},
	62: {func(t *telemetry) {
		b := &t.Morph.Blocks[0]
		b.Output = b.Bytes
		b.Density = equations.OutputDensity(&b.Output)
	}, func(t *telemetry) { t.Morph.Blocks[0].Output = equations.Histogram{} }},
	63: {func(t *telemetry) { t.Morph.Deltas[0].Deltas[2]++ }, func(t *telemetry) { t.Morph.Deltas = nil }},
	64: {func(t *telemetry) { r := &t.Morph.Reads[0]; r.Decoded, r.Amplification = 10240, 10 }, func(t *telemetry) { t.Morph.Reads = nil }},

	65: {func(t *telemetry) { t.Restarts[0].Delay = 11 * time.Second }, func(t *telemetry) { t.Restarts = nil }},
	66: {func(t *telemetry) { t.Boot.TriesShown = 2 }, func(t *telemetry) { t.Boot = nil }},
	67: {func(t *telemetry) {
		f := &t.Liveness[0]
		f.Elapsed = 3 * time.Second
		f.Phi = f.Seen.Phi(f.Elapsed, f.Floor)
	}, func(t *telemetry) { t.Liveness = nil }},
	68: {func(t *telemetry) { t.Retransmission.Timeout = time.Millisecond }, func(t *telemetry) { t.Retransmission = nil }},
	69: {func(t *telemetry) { t.Buckets[0].After = 12 }, func(t *telemetry) { t.Buckets = nil }},
	70: {func(t *telemetry) { t.Services[0].Availability = 1 }, func(t *telemetry) { t.Services = nil }},
}

func noNoise(t *telemetry)      { t.Noise.Statistics = equations.BitStatistics{} }
func noHealth(t *telemetry)     { *t.Noise = equations.NoiseFacts{Statistics: t.Noise.Statistics} }
func noDecision(t *telemetry)   { t.Placement.Decisions = nil }
func noTraffic(t *telemetry)    { t.Traffic = nil }
func noGovernor(t *telemetry)   { t.Governor = nil }
func noContainers(t *telemetry) { t.Containers = nil }
func noReceipts(t *telemetry)   { t.Ledger.Receipts = nil }
func noAudit(t *telemetry)      { t.Audit = nil }
func noMorph(t *telemetry)      { t.Morph = nil }

func candidate(t *telemetry, i int) *equations.CandidateFacts {
	return &t.Placement.Decisions[0].Candidates[i]
}

// reverse has the most containers run where there is least entropy.
func reverse(nodes []equations.NodeFacts) {
	for i := range nodes {
		nodes[i].Containers = i + 3
	}
}

func sameEntropy(t *telemetry) {
	for i := range t.Placement.Nodes {
		t.Placement.Nodes[i].Entropy = 0.8
	}
}

func verdict(t *testing.T, number int, on *telemetry) equations.Verdict {
	t.Helper()
	row := equations.Rows()[number-1]
	if row.Number != number {
		t.Fatalf("row %d is in the place of row %d", row.Number, number)
	}
	return row.Check(on)
}

// Each row holds on a well node, fails on one where its invariant is broken,
// and does not apply where its subject is absent.
func TestChecks(t *testing.T) {
	for _, row := range equations.Rows() {
		t.Run(fmt.Sprintf("%d %s", row.Number, row.Name), func(t *testing.T) {
			c, ok := cases[row.Number]
			if !ok {
				t.Fatal("there is no case")
			}
			if v := verdict(t, row.Number, wellNode()); v.State != equations.Pass || v.Seen == "" {
				t.Errorf("a well node: %v, %q", v.State, v.Seen)
			}
			broken := wellNode()
			c.fail(broken)
			if v := verdict(t, row.Number, broken); v.State != equations.Fail || v.Seen == "" {
				t.Errorf("its invariant broken: %v, %q", v.State, v.Seen)
			}
			bare := wellNode()
			c.absent(bare)
			if v := verdict(t, row.Number, bare); v.State != equations.NotApplicable || v.Seen == "" {
				t.Errorf("without its subject: %v, %q", v.State, v.Seen)
			}
			if v := verdict(t, row.Number, &telemetry{}); v.State != equations.NotApplicable || v.Seen == "" {
				t.Errorf("without anything: %v, %q", v.State, v.Seen)
			}
		})
	}
}

// The registry is the model's table: 70 rows, numbered, each with all columns.
func TestRows(t *testing.T) {
	rows := equations.Rows()
	if len(rows) != 70 {
		t.Fatalf("%d rows", len(rows))
	}
	names := make(map[string]bool)
	for i, r := range rows {
		if r.Number != i+1 {
			t.Errorf("row %d has the number %d", i+1, r.Number)
		}
		for column, text := range map[string]string{
			"section": r.Section, "name": r.Name, "formula": r.Formula, "component": r.Component, "invariant": r.Invariant, "function": r.Function,
		} {
			if strings.TrimSpace(text) == "" {
				t.Errorf("row %d has no %s", r.Number, column)
			}
		}
		if names[r.Name] {
			t.Errorf("two rows are called %s", r.Name)
		}
		names[r.Name] = true
	}
}

func TestConsistency(t *testing.T) {
	if share, hold, apply := equations.Consistency(equations.Evaluate(wellNode())); share != 1 || hold != 70 || apply != 70 {
		t.Errorf("a well node: %v, %d of %d", share, hold, apply)
	}
	if share, hold, apply := equations.Consistency(equations.Evaluate(&telemetry{})); share == share || hold != 0 || apply != 0 {
		t.Errorf("nothing to check: %v, %d of %d", share, hold, apply)
	}
	on := wellNode()
	on.Morph = nil           // 10 rows less
	on.Boot.TriesShown = 0   // 66
	on.Buckets[0].After = -1 // 69
	on.Pressure[0].Share = 2 // 33
	if share, hold, apply := equations.Consistency(equations.Evaluate(on)); share != 57.0/60 || hold != 57 || apply != 60 {
		t.Errorf("three rows broken: %v, %d of %d", share, hold, apply)
	}
}

// More ways in which a row fails, than the one in the table.
func TestChecksAreStrict(t *testing.T) {
	for name, c := range map[string]struct {
		row    int
		change change
	}{
		"a finite divergence where it is infinite": {10, func(t *telemetry) { t.Output[0].History[7] = 0 }},
		"a finite ratio of nothing":                {55, func(t *telemetry) { t.Morph.Original = 0 }},
		"a finite share of nothing":                {61, func(t *telemetry) { t.Morph.Logical = 0 }},
		"a finite φ where it is infinite": {67, func(t *telemetry) {
			t.Liveness[0].Floor, t.Liveness[0].Elapsed = 0, time.Minute
		}},
		"E_n that is not the smoothed one": {8, func(t *telemetry) { t.Noise.Entropy = t.Noise.Assessed }},
		"E_n that is not the assessed one": {8, func(t *telemetry) { t.Noise.Smoothing = nil }},
		"E_n of another assessment":        {8, func(t *telemetry) { t.Noise.Smoothing.Latest -= 1e-6 }},
		"E_n that the router does not have": {8, func(t *telemetry) {
			n := &t.Placement.Nodes[0]
			n.Own, n.Entropy = true, t.Noise.Entropy+0.011
		}},
		"another ρ than the router's": {21, func(t *telemetry) { *t.Placement.RankCorrelation = 0.5 }},
		"consistency of another tree": {48, func(t *telemetry) {
			f := &t.Ledger.Consistency[0]
			f.First, f.Second, f.Path = 3, 4, []equations.Digest{digest(1)}
			f.FirstRoot = digest(2)
			f.SecondRoot = equations.MerkleNode(f.FirstRoot, digest(1))
		}},
		"slots that are not given":             {18, func(t *telemetry) { t.Traffic[0].Size++ }},
		"another r than the router's":          {20, func(t *telemetry) { *t.Placement.Correlation = 0.5 }},
		"more stalled than there was time":     {33, func(t *telemetry) { t.Pressure[0].Stalled, t.Pressure[0].Share = 5*time.Second, 1 }},
		"another root than the ledger's":       {46, func(t *telemetry) { t.Ledger.Root[0] ^= 1 }},
		"consistent with another tree":         {48, func(t *telemetry) { t.Ledger.Root[0] ^= 1 }},
		"more committed than made":             {54, func(t *telemetry) { t.Conservation.Committed = 9 }},
		"a decision judged by what was not so": {13, func(t *telemetry) { t.Placement.Decisions[0].Target = 0.3 }},
		"a demand beyond the room":             {31, func(t *telemetry) { t.Placement.Decisions[0].Demand = 0.8 }},
	} {
		on := wellNode()
		c.change(on)
		if v := verdict(t, c.row, on); v.State != equations.Fail {
			t.Errorf("%s: row %d is %v, %s", name, c.row, v.State, v.Seen)
		}
	}
}

// What is well, and might be taken for broken.
func TestChecksAreFair(t *testing.T) {
	for name, c := range map[string]struct {
		row    int
		change change
	}{
		"an infinite divergence": {10, func(t *telemetry) { t.Output[0].History[7], t.Output[0].Divergence = 0, math.Inf(1) }},
		"an E_n that the router is to be told of": {8, func(t *telemetry) {
			t.Placement.Nodes[0].Own, t.Noise.Age = true, time.Second
		}},
		"an E_n that the router has but for the step": {8, func(t *telemetry) {
			n := &t.Placement.Nodes[0]
			n.Own, n.Entropy = true, t.Noise.Entropy-0.01
		}},
		"the first assessment":      {8, func(t *telemetry) { t.Noise.Smoothing, t.Noise.Entropy = nil, t.Noise.Assessed }},
		"a score of another target": {13, anotherTarget},
		"a rank of another weight":  {14, anotherTarget},
		"refused by another threshold": {15, func(t *telemetry) {
			d := &t.Placement.Decisions[1]
			d.Candidates[0].Filtered, d.Candidates[0].Score, d.Threshold = false, 0.3, 0.9
		}},
	} {
		on := wellNode()
		c.change(on)
		if v := verdict(t, c.row, on); v.State != equations.Pass {
			t.Errorf("%s: row %d is %v, %s", name, c.row, v.State, v.Seen)
		}
	}
}

// anotherTarget adds a decision that was made before T and w were changed.
func anotherTarget(t *telemetry) {
	c := equations.CandidateFacts{Node: "node0", Entropy: 0.9, Capacity: 1, Usage: 0.3}
	d := equations.DecisionFacts{Replica: "before", Target: 0.8, Weight: 0.1, Entropy: 0.8, Demand: 0.1}
	c.Score = equations.RoutingScore(c.Entropy, d.Entropy, c.Capacity, c.Usage, d.Target)
	with := equations.RoutingScore(c.Entropy, d.Entropy, c.Capacity, c.Usage+d.Demand, d.Target)
	c.Rank = equations.PriorityBlend(with, with, c.Capacity, c.Usage+d.Demand, d.Weight)
	d.Candidates = []equations.CandidateFacts{c}
	t.Placement.Decisions = append(t.Placement.Decisions, d)
}

// However garbled a node's telemetry is, a check answers: it runs in PID 1.
func TestChecksOfGarbledTelemetry(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		on := wellNode()
		for range 1 + random.IntN(8) {
			garble(reflect.ValueOf(on).Elem(), random)
		}
		for _, r := range equations.Evaluate(on) {
			if r.Seen == "" {
				t.Fatalf("row %d says nothing", r.Number)
			}
		}
	}
}

// garble changes one value, somewhere below v.
func garble(v reflect.Value, random *rand.Rand) {
	switch v.Kind() {
	case reflect.Struct:
		if f := v.Field(random.IntN(v.NumField())); f.CanSet() {
			garble(f, random)
		}
	case reflect.Pointer:
		if random.IntN(8) == 0 || v.IsNil() {
			v.SetZero()
			return
		}
		garble(v.Elem(), random)
	case reflect.Slice:
		if n := v.Len(); n > 0 && random.IntN(4) > 0 {
			garble(v.Index(random.IntN(n)), random)
		} else if n > 0 {
			v.Set(v.Slice(0, random.IntN(n)))
		}
	case reflect.Array:
		garble(v.Index(random.IntN(v.Len())), random)
	case reflect.Float64:
		v.SetFloat([]float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 0, 1e308, random.Float64()}[random.IntN(7)])
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt([]int64{0, -1, 1, math.MaxInt32, math.MinInt32, random.Int64N(100)}[random.IntN(6)])
	case reflect.Uint64, reflect.Uint8:
		v.SetUint(random.Uint64() >> random.IntN(64))
	case reflect.Bool:
		v.SetBool(random.IntN(2) == 0)
	}
}

package equations

import "time"

// Telemetry is what a node knows about itself at one moment, as plain facts:
// what its components measured or were given, and the result that they went on
// with. The live checks recompute the results from the inputs, by the
// equations of this package.
//
// A part that is nil or empty says that this node has no such subject (one
// node only, no RAPL, nothing compressed yet): its rows are not applicable.
// Whoever fills a part fills all of it.
type Telemetry struct {
	// Section E.
	Noise  *NoiseFacts   // the node's noise source
	Images []ImageFacts  // whose layers' bytes were counted
	Output []OutputFacts // containers' output against their history
	// Smoothing holds the last step of each exponentially smoothed quantity.
	Smoothing []SmoothingFacts

	// Section R.
	Placement *PlacementFacts // the router's
	Traffic   []TrafficFacts  // services whose connections are routed
	Fairness  *FairnessFacts

	// Section U.
	Utilisation  *UtilisationFacts
	Governor     *GovernorFacts
	Containers   []ContainerFacts // that run, from their cgroups
	Pressure     []PressureFacts
	BackPressure *BackPressureFacts
	Energy       []EnergyFacts

	// Section P.
	Ledger       *LedgerFacts
	Logs         []LogFacts
	Audit        *AuditFacts
	ReExecutions []ReExecutionFacts
	Conservation *ConservationFacts

	// Section M.
	Morph *MorphFacts

	// Section S.
	Restarts       []RestartFacts
	Boot           *BootFacts
	Liveness       []LivenessFacts
	Retransmission *RetransmissionFacts
	Buckets        []BucketFacts
	Services       []ServiceFacts
}

// NoiseFacts are the noise source's (rows 3 to 8).
type NoiseFacts struct {
	// Statistics are those that the estimates below were made from.
	Statistics      BitStatistics
	MostCommonValue float64 // row 3, bits per sample
	Collision       float64 // row 4
	Markov          float64 // row 5
	// The health tests since they began: α, the entropy per sample that their
	// cutoffs are for, the cutoffs in use and what was seen.
	Alpha            float64
	HealthEntropy    float64
	RepetitionCutoff uint64
	LongestRun       uint64
	Window           int
	ProportionCutoff int
	LargestCount     int
	Healthy          bool // neither test has failed
	// Assessed is row 8 of the estimates above, Entropy is what the node says
	// of itself: E_n, smoothed.
	Assessed, Entropy float64
	// Smoothing is how Assessed went into Entropy; nil is not at all.
	Smoothing *SmoothingFacts
	// Age is how long Entropy has been what it is.
	Age time.Duration
}

// ImageFacts are an image's (rows 1, 2, 9).
type ImageFacts struct {
	Image string
	// Bytes counts the bytes of the uncompressed layers, by value; nil where
	// only the entropy was kept.
	Bytes *Histogram
	// Entropy is E_c, as placement takes it.
	Entropy float64
}

// OutputFacts compare a container's latest output with its history (rows 10, 11).
type OutputFacts struct {
	Container       string
	Latest, History Histogram
	Divergence      float64 // D(latest‖history), bits
	JensenShannon   float64
}

// SmoothingFacts are one step of an exponentially smoothed quantity (rows 12, 35).
type SmoothingFacts struct {
	Quantity            string
	Elapsed, HalfLife   time.Duration
	Lambda              float64 // row 35 of the two
	Old, Latest, Result float64
}

// PlacementFacts are the router's (rows 13 to 15, 20, 21, 23, 24, 31, 36, 38).
type PlacementFacts struct {
	Nodes []NodeFacts
	// Correlation is r (row 20) as the router has it; nil where it has none.
	Correlation *float64
	// RankCorrelation is ρ (row 21) as the router has it; nil where it has none.
	RankCorrelation *float64
	// Decisions are the last ones, at least one of each outcome where there was one.
	Decisions []DecisionFacts
	// Offered counts the replicas that some node could hold and that were not
	// taken back, Admitted those of them that were admitted. One that waits is
	// offered once it has waited past the queue's bound and while there is room.
	Offered, Admitted uint64
	Queue             *QueueFacts    // nil until it has been filled and emptied
	Sampling          *SamplingFacts // nil where every candidate is scanned
}

// NodeFacts are a node as the router knows it.
type NodeFacts struct {
	Node                     string
	Entropy, Capacity, Usage float64 // E_n, C_n, U_n
	Containers               int
	Own                      bool // the node whose telemetry this is
}

// DecisionFacts are one decision of the router.
type DecisionFacts struct {
	Replica string
	Entropy float64 // E_c as the score took it
	Demand  float64 // of CPU, as a share of the largest node's
	Demands []float64
	// T, w and θ, as they were.
	Target, Weight, Threshold float64
	// Candidates as they were before the replica was committed to one.
	Candidates []CandidateFacts
	// Chosen is an index of Candidates; −1 is none: the replica waits, or was
	// refused.
	Chosen int
}

// CandidateFacts are a node that a replica could be placed on.
type CandidateFacts struct {
	Node string
	// Filtered says that the node cannot hold the replica: S and K were not
	// computed.
	Filtered                 bool
	Entropy, Capacity, Usage float64   // E_n, C_n, U_n as the score took them
	Score                    float64   // S
	Rank                     float64   // K, at U_n + d: as it would be with the replica
	Capacities               []float64 // resource by resource, as Demands
	DominantShare            float64   // row 38 of Demands and Capacities
}

// QueueFacts are the placement queue's between two instants at which it was empty.
type QueueFacts struct {
	Elapsed  time.Duration
	Arrivals uint64
	// Length is ∫L dt, Sojourn the sum of the times that replicas waited.
	Length, Sojourn time.Duration
}

// SamplingFacts are those of decisions among a sample of the nodes.
type SamplingFacts struct {
	Quantile, Confidence float64
	Size                 int // d
	// Scanned decisions were repeated over all nodes; in Top of them the
	// choice was among the best 5 %.
	Scanned, Top uint64
}

// TrafficFacts are a routed service's (rows 16 to 19).
type TrafficFacts struct {
	Service         string
	Nodes           []uint64 // identities
	Scores, Weights []float64
	Size            int   // M, slots of the kernel's map
	Slots           []int // of each node, as read back from the kernel
	// Keys were routed to Choices, indexes of Nodes.
	Keys    []uint64
	Choices []int
	Removal *RemovalFacts // nil until a node was removed
}

// RemovalFacts hold each slot's node before and after a node was removed.
type RemovalFacts struct {
	Removed       uint64
	Share         float64 // of the slots, that the removed node had
	Before, After []uint64
}

// FairnessFacts hold the CPU time that containers received, which were
// throttled throughout the window, and what they were entitled to (row 22).
type FairnessFacts struct {
	Received, Entitled []time.Duration
}

// UtilisationFacts are the node's CPUs' (row 25).
type UtilisationFacts struct {
	Busy, Elapsed time.Duration // Busy of all CPUs together
	CPUs          int
	Utilisation   float64
}

// GovernorFacts are the CPU governor's last step (rows 26, 28 to 30, 39).
type GovernorFacts struct {
	Governor
	CPUs          int
	Interval      time.Duration // Δt as configured
	Elapsed       time.Duration // Δt of the last step
	Utilisation   float64
	Before, After GovernorState
	// Period and Quota are what the kernel holds in cpu.max.
	Period, Quota time.Duration
	// Step holds the utilisation after the demand last rose above the target
	// and stayed there; nil when it did not.
	Step []StepFacts
	// Saturated is the utilisation over the time, since Step settled, that the
	// demand was above the target; nil when it is not.
	Saturated *UtilisationFacts
}

// StepFacts are the utilisation at one time after a step of the demand.
type StepFacts struct {
	After       time.Duration
	Utilisation float64
}

// ContainerFacts are a running container's cgroup (rows 27, 28, 32, 34).
type ContainerFacts struct {
	Container        string
	Share, MeanShare float64 // sᵢ, s̄ over those that run
	Weight           uint64  // cpu.weight as the kernel holds it
	Entitlement      float64 // share of the node
	// MemoryMax and MemoryHigh as the kernel holds them; a MemoryMax of 0 is
	// no limit.
	MemoryMax, MemoryHigh uint64
	// Periods and Throttled ones in the last window.
	Periods, Throttled uint64
	ThrottleRatio      float64
}

// PressureFacts are the kernel's pressure stall information of one resource
// over the last window (row 33).
type PressureFacts struct {
	Resource         string
	Stalled, Elapsed time.Duration
	Share            float64
}

// BackPressureFacts are the ledger's (row 37), in full blocks per second.
type BackPressureFacts struct {
	ServiceRate, ArrivalRate float64 // μ, λ
	Sojourn                  time.Duration
	HeldBack                 bool // submissions are
}

// EnergyFacts are two readings of one of the CPU's energy counters (row 40).
type EnergyFacts struct {
	Domain        string
	Before, After uint64
	Span          uint64  // 2ⁿ, at which the counter begins anew
	Unit          float64 // J
	Energy        float64 // J
}

// LedgerFacts are samples of what the ledger serves (rows 41 to 44, 46 to 50).
type LedgerFacts struct {
	// Size and Root are the tree's, as the ledger says of itself.
	Size        uint64
	Root        Digest
	Receipts    []ReceiptFacts
	Inclusions  []InclusionFacts
	Consistency []ConsistencyFacts
	Commits     []CommitFacts
	Validators  int
	Tolerated   int    // f, as the ledger says it
	FlipSeed    uint64 // of the bits that row 42 flips, another at each check
}

// ReceiptFacts are a receipt's digests and what they are made of.
type ReceiptFacts struct {
	Sequence                     uint64
	Node, Image, Workload, Nonce Digest
	Stdout, Stderr               Digest
	Exit, Signal                 int32
	OOM                          bool
	Usage                        UsageVector
	ContainerID, State, Proof    Digest // c_id, E_s, P
}

// InclusionFacts are an inclusion proof as served, and the root it is for.
type InclusionFacts struct {
	Leaf        Digest
	Index, Size uint64
	Path        []Digest
	Root        Digest
}

// ConsistencyFacts are a consistency proof as served, and the roots it is for.
type ConsistencyFacts struct {
	First, Second         uint64 // sizes
	FirstRoot, SecondRoot Digest
	Path                  []Digest
}

// CommitFacts are the voting power that signed a block.
type CommitFacts struct {
	Height       int64
	Power, Total uint64
}

// LogFacts compare a receipt's output digest with the stored log (row 45).
type LogFacts struct {
	Container string
	Stream    string
	Written   Digest // the receipt's
	Stored    Digest // of the log as it is stored, which is whole
}

// AuditFacts are the auditor's (rows 51, 52).
type AuditFacts struct {
	FaultShare float64 // p, of false receipts that is to be found
	Confidence float64 // c asked for
	Sample     int     // k audited
	Detection  float64
}

// ReExecutionFacts are the execution states of one deterministic job (row 53).
type ReExecutionFacts struct {
	Job    string
	States []Digest
	Nodes  []string // who executed, state by state
	Named  []string // nodes that the auditor named
}

// ConservationFacts count a node's executions (row 54).
type ConservationFacts struct {
	Started   uint64 // ever
	Running   uint64
	Waiting   []uint64 // sequence numbers in the outbox, rising
	Committed uint64   // the last sequence number committed
	Last      uint64   // the last sequence number given
}

// MorphFacts are the compressed store's (rows 55 to 64).
type MorphFacts struct {
	Original, Stored uint64 // bytes
	Ratio            float64
	Blocks           []BlockFacts
	// Coded holds the blocks that were coded both ways, one in 64.
	Coded         []CodedFacts
	Gain          float64
	Chunks        *ChunkFacts
	Unique        uint64 // bytes
	Logical       uint64
	Deduplication float64
	Deltas        []DeltaFacts
	Reads         []ReadFacts
}

// BlockFacts are a block's (rows 56 to 58, 62).
type BlockFacts struct {
	Bytes      Histogram // of the original
	Entropy    float64   // H, bits per byte
	Redundancy float64
	// OrderZero is how many bytes the order-0 coder made of it; 0 is that it
	// was not used.
	OrderZero uint64
	// Bits and Headers are the estimates, morph by morph, in bits; the
	// identity is the first.
	Bits, Headers []float64
	Chosen        int
	Output        Histogram // of the stored bytes
	Density       float64
}

// CodedFacts are how many bytes a block takes, with and without its morph.
type CodedFacts struct{ Morphed, Plain uint64 }

// ChunkFacts are the content-defined chunks', without last ones and constant
// runs (row 60).
type ChunkFacts struct {
	Minimum, Maximum uint64
	Bits             int // k
	Bytes, Count     uint64
	Expected         float64
}

// DeltaFacts are numbers and their zigzag deltas (row 63).
type DeltaFacts struct {
	Order   int // 1 or 2
	Numbers []int64
	Deltas  []uint64
}

// ReadFacts are one read of the compressed store (row 64).
type ReadFacts struct {
	Block             uint64 // the block size
	Returned, Decoded uint64
	Amplification     float64
}

// RestartFacts are the last delay before a service's restart (row 65).
type RestartFacts struct {
	Service        string
	Initial, Limit time.Duration
	Failures       int // k
	Jitter         float64
	Delay          time.Duration
}

// BootFacts are the running system's trial (row 66).
type BootFacts struct {
	Good, Boots uint64
	Tries       int // t, counted by the boot loader
	TriesShown  int // as the box says it
	Probability float64
	Assurance   float64
}

// LivenessFacts are what a failure detector saw of a node or service (row 67).
type LivenessFacts struct {
	Name    string
	Seen    Arrivals // the intervals between its signs of life
	Elapsed time.Duration
	Floor   time.Duration
	Phi     float64
	Live    bool // taken for alive
}

// RetransmissionFacts are the outbox's retransmission timer (row 68).
type RetransmissionFacts struct {
	RoundTrip   RoundTrip
	Granularity time.Duration
	Timeout     time.Duration // RTO, before its bounds
}

// BucketFacts are a token bucket's last filling (row 69).
type BucketFacts struct {
	Name        string
	Before      float64
	Rate, Burst float64 // tokens per second, tokens
	Elapsed     time.Duration
	After       float64
}

// ServiceFacts are a service's (row 70).
type ServiceFacts struct {
	Service      string
	Up, Down     time.Duration
	Failures     uint64
	Availability float64
}

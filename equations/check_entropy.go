package equations

import "time"

var entropyRows = []Row{
	{1, "entropy", "Shannon entropy", "H(X) = −Σ pᵢ log pᵢ", "morphzip, runtime", "0 ≤ H ≤ log│A│", "ShannonEntropy", checkShannonEntropy},
	{2, "entropy", "Normalised entropy", "Ĥ = H / log│A│", "runtime, console", "Ĥ ∈ [0,1]", "NormalisedEntropy", checkNormalisedEntropy},
	{3, "entropy", "Most-common-value min-entropy", "p_u = min(1, p̂ + 2.576·√(p̂(1−p̂)/(L−1))); H∞ = −log p_u", "nko", "H∞ ≤ H₂ ≤ H", "MostCommonValueEntropy", checkMostCommonValue},
	{4, "entropy", "Collision entropy", "H₂ = −log Σ pᵢ²", "nko", "H∞ ≤ H₂", "CollisionEntropy", checkCollision},
	{5, "entropy", "Markov min-entropy", "−log p(most likely 128 steps)/128", "nko", "≤ 1 bit per bit", "MarkovEntropy", checkMarkov},
	{6, "entropy", "Repetition count cutoff", "C = 1 + ⌈−log α / H⌉", "nko", "longest run < C", "NewRepetitionCount", checkRepetition},
	{7, "entropy", "Adaptive proportion cutoff", "C = 1 + critbinom(W, 2^−H, 1−α)", "nko", "count in window < C", "NewAdaptiveProportion", checkProportion},
	{8, "entropy", "Node entropy", "E_n = clamp01(min(3, 5))·[6 and 7 pass]", "nko, ledger, router", "E_n ∈ [0,1]; 0 when unhealthy", "NodeEntropy", checkNodeEntropy},
	{9, "entropy", "Container entropy", "E_c = Ĥ(bytes of the image's layers)", "runtime, router", "E_c ∈ [0,1]", "ContainerEntropy", checkContainerEntropy},
	{10, "entropy", "Kullback–Leibler divergence", "D(P‖Q) = Σ pᵢ log(pᵢ/qᵢ)", "nko", "D ≥ 0", "KullbackLeibler", checkKullbackLeibler},
	{11, "entropy", "Jensen–Shannon divergence", "½D(P‖M) + ½D(Q‖M), M = ½(P+Q)", "nko", "∈ [0,1]", "JensenShannon", checkJensenShannon},
	{12, "entropy", "Entropy smoothing", "E ← λE + (1−λ)E′", "nko", "between old and new", "Smooth", checkSmoothing},
}

const (
	noNoise  = "the noise source has not been assessed"
	noImage  = "no image whose bytes were counted"
	noOutput = "no container whose output has a history"
)

func checkShannonEntropy(t *Telemetry) Verdict {
	return over(t.Images, noImage, func(f *ImageFacts) observation {
		if f.Bytes == nil {
			return observation{skip: true}
		}
		h, most := ShannonEntropy(f.Bytes[:]), 8.0
		if used := f.Entropy * most; !same(used, h) {
			return seen(f.Image, h, false, notRecomputed, used, h)
		}
		return seen(f.Image, h, within(h, 0, most), "H = %v", h)
	})
}

func checkNormalisedEntropy(t *Telemetry) Verdict {
	return over(t.Images, noImage, func(f *ImageFacts) observation {
		if f.Bytes == nil {
			return observation{skip: true}
		}
		h := NormalisedEntropy(ShannonEntropy(f.Bytes[:]), len(f.Bytes))
		return seen(f.Image, f.Entropy, within(f.Entropy, 0, 1) && same(h, f.Entropy), notRecomputed, f.Entropy, h)
	})
}

// noise checks the noise source, once it has been assessed.
func noise(t *Telemetry, check func(*NoiseFacts) observation) Verdict {
	return one(t.Noise, noNoise, func(f *NoiseFacts) observation {
		if f.Statistics.Samples() == 0 {
			return observation{skip: true}
		}
		return check(f)
	})
}

func checkMostCommonValue(t *Telemetry) Verdict {
	return noise(t, func(f *NoiseFacts) observation {
		counts := f.Statistics.Counts[:]
		least, h2, h := MostCommonValueEntropy(counts), CollisionEntropy(counts), ShannonEntropy(counts)
		if !same(least, f.MostCommonValue) {
			return seen("", least, false, notRecomputed, f.MostCommonValue, least)
		}
		return seen("", least, least <= h2 && h2 <= h+1e-12, "H∞ = %v, H₂ = %v, H = %v", least, h2, h)
	})
}

func checkCollision(t *Telemetry) Verdict {
	return noise(t, func(f *NoiseFacts) observation {
		h2 := CollisionEntropy(f.Statistics.Counts[:])
		if !same(h2, f.Collision) {
			return seen("", h2, false, notRecomputed, f.Collision, h2)
		}
		return seen("", h2, f.MostCommonValue <= f.Collision, "H₂ = %v is below H∞ = %v", f.Collision, f.MostCommonValue)
	})
}

func checkMarkov(t *Telemetry) Verdict {
	return noise(t, func(f *NoiseFacts) observation {
		h := MarkovEntropy(f.Statistics.Counts, f.Statistics.Transitions)
		return seen("", h, within(f.Markov, 0, 1) && same(h, f.Markov), notRecomputed, f.Markov, h)
	})
}

// health checks a health test of the noise source, once it has a cutoff.
func health(t *Telemetry, check func(*NoiseFacts) observation) Verdict {
	return one(t.Noise, noNoise, func(f *NoiseFacts) observation {
		if f.HealthEntropy == 0 && f.RepetitionCutoff == 0 && f.ProportionCutoff == 0 {
			return observation{skip: true}
		}
		return check(f)
	})
}

func checkRepetition(t *Telemetry) Verdict {
	return health(t, func(f *NoiseFacts) observation {
		want := NewRepetitionCount(f.HealthEntropy, f.Alpha).Cutoff
		if want != f.RepetitionCutoff {
			return seen("", 0, false, "cutoff %d in use, %d recomputed", f.RepetitionCutoff, want)
		}
		return seen("", float64(f.LongestRun), f.LongestRun < want, "a run of %d, the cutoff is %d", f.LongestRun, want)
	})
}

func checkProportion(t *Telemetry) Verdict {
	return health(t, func(f *NoiseFacts) observation {
		if f.Window > 1<<16 { // the cutoff takes O(W)
			return seen("", 0, false, "a window of %d samples", f.Window)
		}
		want := NewAdaptiveProportion(f.Window, f.HealthEntropy, f.Alpha).Cutoff
		if want != f.ProportionCutoff {
			return seen("", 0, false, "cutoff %d in use, %d recomputed", f.ProportionCutoff, want)
		}
		return seen("", float64(f.LargestCount), f.LargestCount < want, "%d in a window of %d, the cutoff is %d", f.LargestCount, f.Window, want)
	})
}

func checkNodeEntropy(t *Telemetry) Verdict {
	return noise(t, func(f *NoiseFacts) observation {
		want := NodeEntropy(f.MostCommonValue, f.Markov, f.Healthy)
		switch {
		case !same(want, f.Assessed):
			return seen("", want, false, notRecomputed, f.Assessed, want)
		case !f.Healthy && f.Entropy != 0:
			return seen("", want, false, "E_n = %v of an unhealthy source", f.Entropy)
		}
		from := f.Assessed
		if f.Healthy && f.Smoothing != nil {
			if from = f.Smoothing.Result; f.Smoothing.Latest != f.Assessed {
				return seen("", want, false, "%v was assessed, %v was smoothed", f.Assessed, f.Smoothing.Latest)
			}
		}
		if told, known := ownEntropy(t); known && f.Age > routerToldAfter && !within(told, f.Entropy-entropyStep-1e-9, f.Entropy+entropyStep+1e-9) {
			return seen("", want, false, "E_n = %v, the router has %v", f.Entropy, told)
		}
		return seen("", f.Entropy, within(f.Entropy, 0, 1) && same(f.Entropy, from), "E_n = %v, from %v", f.Entropy, from)
	})
}

const (
	// entropyStep is the most that the router's E_n of a node may be off: of
	// less it is not told.
	entropyStep = 0.01
	// routerToldAfter is how long after E_n has changed the router must know.
	routerToldAfter = time.Minute
)

// ownEntropy is the router's E_n of the node itself.
func ownEntropy(t *Telemetry) (entropy float64, known bool) {
	if t.Placement == nil {
		return 0, false
	}
	for i := range t.Placement.Nodes {
		if n := &t.Placement.Nodes[i]; n.Own {
			return n.Entropy, true
		}
	}
	return 0, false
}

func checkContainerEntropy(t *Telemetry) Verdict {
	return over(t.Images, "no image with a measured entropy", func(f *ImageFacts) observation {
		if f.Bytes != nil {
			if want := ContainerEntropy(f.Bytes); !same(want, f.Entropy) {
				return seen(f.Image, want, false, notRecomputed, f.Entropy, want)
			}
		}
		return seen(f.Image, f.Entropy, within(f.Entropy, 0, 1), "E_c = %v", f.Entropy)
	})
}

func checkKullbackLeibler(t *Telemetry) Verdict {
	return over(t.Output, noOutput, func(f *OutputFacts) observation {
		d := KullbackLeibler(f.Latest[:], f.History[:])
		return seen(f.Container, d, f.Divergence >= 0 && same(d, f.Divergence), notRecomputed, f.Divergence, d)
	})
}

func checkJensenShannon(t *Telemetry) Verdict {
	return over(t.Output, noOutput, func(f *OutputFacts) observation {
		d := JensenShannon(f.Latest[:], f.History[:])
		return seen(f.Container, d, within(f.JensenShannon, 0, 1) && same(d, f.JensenShannon), notRecomputed, f.JensenShannon, d)
	})
}

func checkSmoothing(t *Telemetry) Verdict {
	return over(t.Smoothing, "nothing has been smoothed yet", func(f *SmoothingFacts) observation {
		want := Smooth(f.Old, f.Latest, f.Lambda)
		if !same(want, f.Result) {
			return seen(f.Quantity, want, false, notRecomputed, f.Result, want)
		}
		low, high := min(f.Old, f.Latest), max(f.Old, f.Latest)
		return seen(f.Quantity, f.Result, within(f.Result, low, high), "%v is not between %v and %v", f.Result, f.Old, f.Latest)
	})
}

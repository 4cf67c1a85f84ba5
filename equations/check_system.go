package equations

var systemRows = []Row{
	{65, "system", "Restart back-off", "d_k = min(d_max, d₀·2^k)·(1 + U(−j, j))", "nko", "delays within bounds", "RestartBackoff", checkBackoff},
	{66, "system", "Update assurance", "P(boot) = 1 − (1−p)^t, p = (good + 1)/(boots + 2)", "appliance", "tries shown = t", "UpdateAssurance", checkAssurance},
	{67, "system", "φ accrual failure detector", "φ = −log₁₀ P_later(t − t_last)", "nko, ledger", "live ones < 8", "Arrivals.Phi", checkPhi},
	{68, "system", "Retransmission timer (RFC 6298)", "RTO = SRTT + max(G, 4·RTTVAR)", "nko", "RTO ≥ SRTT", "RetransmissionTimeout", checkRetransmission},
	{69, "system", "Token bucket", "tokens = min(b, tokens + rΔt)", "nko", "0 ≤ tokens ≤ b", "TokenBucket", checkBucket},
	{70, "system", "Availability", "A = MTBF/(MTBF + MTTR)", "nko, console", "∈ [0,1]", "Availability", checkAvailability},
}

func checkBackoff(t *Telemetry) Verdict {
	return over(t.Restarts, "nothing has been restarted", func(f *RestartFacts) observation {
		shortest := RestartBackoff(f.Initial, f.Limit, f.Failures, f.Jitter, 0)
		longest := RestartBackoff(f.Initial, f.Limit, f.Failures, f.Jitter, 1)
		return seen(f.Service, f.Delay.Seconds(), shortest <= f.Delay && f.Delay <= longest, "a delay of %v, the bounds are %v and %v", f.Delay, shortest, longest)
	})
}

func checkAssurance(t *Telemetry) Verdict {
	return one(t.Boot, "the system that runs was not installed as an update", func(f *BootFacts) observation {
		p := BootProbability(f.Good, f.Boots)
		assurance := UpdateAssurance(p, f.Tries)
		if !same(p, f.Probability) || !same(assurance, f.Assurance) {
			return seen("", assurance, false, notRecomputed, f.Assurance, assurance)
		}
		return seen("", assurance, f.TriesShown == f.Tries, "%d tries shown, %d counted", f.TriesShown, f.Tries)
	})
}

// suspected is the φ from which on a node or service is taken for dead.
const suspected = 8

func checkPhi(t *Telemetry) Verdict {
	return over(t.Liveness, "nothing is watched by its signs of life", func(f *LivenessFacts) observation {
		phi := f.Seen.Phi(f.Elapsed, f.Floor)
		if !same(phi, f.Phi) {
			return seen(f.Name, phi, false, notRecomputed, f.Phi, phi)
		}
		return seen(f.Name, phi, phi < suspected || !f.Live, "φ = %v, and it is taken for alive", phi)
	})
}

func checkRetransmission(t *Telemetry) Verdict {
	return one(t.Retransmission, "no receipt was offered yet", func(f *RetransmissionFacts) observation {
		rto := RetransmissionTimeout(f.RoundTrip, f.Granularity)
		if rto != f.Timeout {
			return seen("", 0, false, "%v in use, %v recomputed", f.Timeout, rto)
		}
		return seen("", rto.Seconds(), rto >= f.RoundTrip.SRTT, "RTO = %v, SRTT = %v", rto, f.RoundTrip.SRTT)
	})
}

func checkBucket(t *Telemetry) Verdict {
	return over(t.Buckets, "no rate is limited", func(f *BucketFacts) observation {
		tokens := TokenBucket(f.Before, f.Rate, f.Burst, f.Elapsed)
		if !same(tokens, f.After) {
			return seen(f.Name, tokens, false, notRecomputed, f.After, tokens)
		}
		return seen(f.Name, f.After, within(f.After, 0, f.Burst), "%v tokens of %v", f.After, f.Burst)
	})
}

func checkAvailability(t *Telemetry) Verdict {
	return over(t.Services, "no service has been seen", func(f *ServiceFacts) observation {
		a := Availability(f.Up, f.Down)
		return seen(f.Service, a, within(f.Availability, 0, 1) && same(a, f.Availability), notRecomputed, f.Availability, a)
	})
}

// Package router decides where replicas run. It is a pure function of what it
// is told: no input or output, no goroutine, no clock (the time is an argument)
// and no randomness but that of a generator seeded from the decision itself.
// The same calls in the same order give the same decisions, bit for bit, on
// every machine, so that a replicated state machine may place with it.
//
// A decision runs: candidates → filter (health, constraints, host ports, CPU,
// memory) → score (equation 13) → blend (14) → admission (15) → the highest
// rank; among equals, the node whose id sorts first. Candidates are ranked as
// they would be with the replica, at U_n + d: by what a placement leads to, not
// by what was there before. (Ranked by U_n alone, small nodes of low entropy win
// too often: over 20,000 seeds of the production test, the worst 500 in a row
// give a correlation of 0.779 instead of 0.869.) Admission, and the score that is
// reported, are before the commit. Above Config.SampleAbove
// nodes the candidates are a random sample (24).
//
// What is committed to a node is counted in integers: thousandths of a core
// and bytes. CPU is compressible: replicas whose requests fit the node's whole
// capacity share its budget by weight (27, 28). Memory is not. A replica that
// some node could hold, but none has room for now, waits in the queue.
package router

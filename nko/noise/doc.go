// Package noise measures how much entropy the box itself has to give: it samples
// the jitter in the time that a walk through memory takes, tests every sample
// as NIST SP 800-90B §4.4 has it, and estimates the samples' min-entropy, E_n
// of the model (equations 3 to 8, 12).
//
// The samples are the noise as it is, one bit each, never the output of
// something that makes random numbers of it: that would look perfect whatever
// it is fed with. They are used for nothing but the estimate, and leave this
// package only as counts.
package noise

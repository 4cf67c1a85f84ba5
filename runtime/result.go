package runtime

import "time"

// NotMeasured stands in a Usage field for a figure that the kernel did not
// give.
const NotMeasured = ^uint64(0)

// Usage is what an execution consumed, read from its cgroup (all but the wall
// time) after its end. CPU and I/O are counted from its start, the peaks from
// the container's creation. NotMeasured stands for what could not be read.
type Usage struct {
	CPUUserMicros   uint64
	CPUSystemMicros uint64
	MemoryPeakBytes uint64
	IOReadBytes     uint64
	IOWriteBytes    uint64
	PidsPeak        uint64
	WallMicros      uint64 // from Started to Finished
}

// Result is the end of an execution.
type Result struct {
	// ExitCode is the process's exit status, or 128 plus the number of the
	// signal that ended it.
	ExitCode int
	// Signal is the number of the signal that ended the process, or 0.
	Signal int
	// OOMKilled says that the kernel killed at least one process of the
	// container for want of memory. When it was the first process, Signal is
	// SIGKILL.
	OOMKilled bool
	// StdoutDigest and StderrDigest are SHA-256 over the bytes as written;
	// with a terminal, all is stdout.
	StdoutDigest, StderrDigest [32]byte
	Usage                      Usage
	Started, Finished          time.Time
	// Err says what is not known about the execution, or nil: an exit status
	// that was lost, output that did not end or that the log lacks.
	Err error
}

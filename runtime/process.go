package runtime

import (
	"time"

	"github.com/containerd/go-runc"
)

// Processes starts children and tells of exits. In production it is PID 1's
// reaper; a plain program can use os/exec as long as it is a child subreaper.
type Processes interface {
	runc.ProcessMonitor
	// WaitPID gives the exit of a process that was reparented to us: a
	// container's first process, or one executed in it. It is asked for right
	// after runc has ended, so the process may have ended before. The channel
	// gives one Exit.
	WaitPID(pid int) (<-chan Exit, error)
}

// Exit is the end of a process that was reparented to us.
type Exit struct {
	PID    int
	Code   int // exit status, when not ended by a signal
	Signal int // the signal that ended it, or 0
	At     time.Time
}

package ledger

import "fmt"

// Outcome says how an execution ended.
type Outcome uint8

const (
	// OutcomeExited: the process exited by itself, with ExitCode.
	OutcomeExited Outcome = 1 + iota
	// OutcomeSignaled: a signal ended the process.
	OutcomeSignaled
	// OutcomeOOMKilled: the kernel ended the process for want of memory.
	OutcomeOOMKilled
	// OutcomeInterrupted: the node stopped or lost power before it saw the
	// end; the execution's exit code, signal and use are not known.
	OutcomeInterrupted
	// OutcomeStartFailed: the process never ran.
	OutcomeStartFailed
)

func (o Outcome) valid() bool {
	return o >= OutcomeExited && o <= OutcomeStartFailed
}

// String returns the outcome's word, as the console prints it.
func (o Outcome) String() string {
	switch o {
	case OutcomeExited:
		return "exited"
	case OutcomeSignaled:
		return "signaled"
	case OutcomeOOMKilled:
		return "oom-killed"
	case OutcomeInterrupted:
		return "interrupted"
	case OutcomeStartFailed:
		return "start-failed"
	}
	return fmt.Sprintf("unknown outcome %d", uint8(o))
}

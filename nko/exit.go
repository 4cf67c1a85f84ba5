package nko

import "time"

// Exit is the end of a process that was reparented to PID 1.
type Exit struct {
	PID    int
	Code   int // exit status, when not ended by a signal
	Signal int // the signal that ended it, or 0
	At     time.Time
}

package appliance

import (
	"regexp"
	"strings"
)

// How a boot ended.
const (
	EndReboot      = "reboot"
	EndPowerOff    = "poweroff"
	EndPanic       = "panic"       // the kernel's
	EndInit        = "init"        // PID 1 died
	EndWatchdog    = "watchdog"    // a watchdog was not fed
	EndInterrupted = "interrupted" // a power cut, or the reset button
	EndUnknown     = "unknown"     // the first boot, or its records are lost
)

// PreviousBoot is how the boot before this one ended.
type PreviousBoot struct {
	End string
	// Text begins with the cause on a line of its own; what was kept of the
	// log follows. It is empty when End says all.
	Text string
}

// Untimely says that nobody had asked for the end.
func (p PreviousBoot) Untimely() bool {
	return p.End != EndReboot && p.End != EndPowerOff && p.End != EndUnknown
}

// String says it in a few words, for the consoles.
func (p PreviousBoot) String() string {
	cause, _, _ := strings.Cut(p.Text, "\n")
	words := map[string]string{
		EndReboot: "a reboot", EndPowerOff: "a power-off", EndPanic: "a kernel panic", EndInit: "the death of PID 1",
		EndWatchdog: "a reset by the watchdog", EndInterrupted: "a power cut or a reset",
	}[p.End]
	if words == "" {
		words = "an unknown way"
	}
	if cause != "" {
		words += " (" + cause + ")"
	}
	return words
}

// evidence is what an end has left behind.
type evidence struct {
	record    *bootRecord // nil: there is none
	lastWords string      // what PID 1 wrote as it died
	panicLog  string      // what the kernel logged up to its panic
	reset     bool        // a watchdog says that it has reset the box
}

// What the kernel says in its last line when it panics over something else than
// itself.
const (
	panicOfInit     = "Attempted to kill init!"
	panicOfWatchdog = "Software Watchdog Timer expired"
)

var (
	// goFatal matches the line by which the Go runtime says why it dies.
	goFatal = regexp.MustCompile(`(?m)^(?:fatal error|panic|runtime error|SIG[A-Z]+): .*$`)
	// kernelPanic matches the kernel's.
	kernelPanic = regexp.MustCompile(`Kernel panic - not syncing: (.*)`)
)

// judge tells the end from what it has left behind. The more exact witness
// wins: a kernel that panics while it shuts down has not shut down.
func (e evidence) judge() PreviousBoot {
	panicked := ""
	if e.panicLog != "" {
		panicked = "kernel panic"
		if m := kernelPanic.FindStringSubmatch(e.panicLog); m != nil {
			panicked = strings.TrimSpace(m[1])
		}
	}
	fatal := goFatal.FindString(e.lastWords)
	switch {
	case fatal != "":
		return PreviousBoot{End: EndInit, Text: fatal + "\n\n" + e.lastWords}
	case strings.Contains(panicked, panicOfInit):
		return PreviousBoot{End: EndInit, Text: panicked + "\n\n" + e.panicLog}
	case strings.Contains(panicked, panicOfWatchdog):
		// PID 1 may have noted why it fed no more.
		if e.record != nil && e.record.End == EndWatchdog {
			panicked = e.record.Text
		}
		return PreviousBoot{End: EndWatchdog, Text: panicked + "\n\n" + e.panicLog}
	case panicked != "":
		return PreviousBoot{End: EndPanic, Text: panicked + "\n\n" + e.panicLog}
	case e.record != nil && e.record.End != "":
		return PreviousBoot{End: e.record.End, Text: e.record.Text}
	case e.reset:
		return PreviousBoot{End: EndWatchdog}
	case e.record != nil:
		return PreviousBoot{End: EndInterrupted}
	}
	return PreviousBoot{End: EndUnknown}
}

package appliance

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/entroos/entroos/nko"
)

func TestParseKernelRecord(t *testing.T) {
	got, ok := parseKernelRecord("6,339,5140900,-;NET: Registered PF_INET\\x20 protocol family\n SUBSYSTEM=x\n DEVICE=y\n")
	want := kernelRecord{level: 6, sequence: 339, since: 5140900 * time.Microsecond, text: "NET: Registered PF_INET\\x20 protocol family"}
	if !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	if got, ok := parseKernelRecord("36,1,2,-,caller=T1;entroos: wrong password; twice"); !ok || got.facility != 4 || got.level != 4 || got.text != "entroos: wrong password; twice" {
		t.Errorf("%+v, %v", got, ok)
	}
	for _, bad := range []string{"", ";", "6,1;text", "a,1,2,-;text", "-1,1,2,-;text", "6,-1,2,-;text", "no semicolon"} {
		if got, ok := parseKernelRecord(bad); ok {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}

func TestKernelErrorsAreAnnounced(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var said []string
	k := &kernelLog{
		log: nko.NewLogRing(), now: func() time.Time { return now },
		announce: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) },
	}
	take := func(facility, level int, text string, announce bool) {
		k.take(kernelRecord{facility: facility, level: level, text: text}, now, announce)
	}
	take(0, 3, "before we were there", false)
	take(0, 6, "information", true)
	take(0, 4, "a warning", true)
	take(1, 3, "PID 1's own", true)
	take(4, 3, "a login's", true)
	if len(said) != 0 {
		t.Errorf("said %q", said)
	}
	for range 100 {
		take(0, 3, "I/O error", true)
	}
	if len(said) != announceBurst || said[0] != "kernel: I/O error" {
		t.Errorf("of many it said %q", said)
	}
	now = now.Add(announceEvery)
	take(0, 2, "worse", true)
	if n := len(said); n != announceBurst+2 || said[n-2] != "kernel: 92 messages were left out; `services logs kernel` has the last" || said[n-1] != "kernel: worse" {
		t.Errorf("later it said %q", said)
	}
	lines := 0
	if err := k.log.Follow(context.Background(), false, -1, func(nko.LogLine) error { lines++; return nil }); err != nil || lines != 105 {
		t.Errorf("%d lines are kept, %v", lines, err)
	}
}

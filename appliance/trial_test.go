package appliance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/appliance/bootslot"
	"github.com/entroos/entroos/nko"
)

func TestTrialPhase(t *testing.T) {
	type look struct {
		after time.Duration // since the look before
		state string
		want  trialVerdict
	}
	for name, looks := range map[string][]look{
		"healthy": {
			{0, "starting", trialWait},
			{trialStart - 1, "starting", trialWait},
			{time.Second, "ready", trialWait},
			{trialSettle - 1, "ready", trialWait},
			{1, "ready", trialBless},
		},
		"ill": {
			{0, "degraded", trialWait},
			{trialPatience - 1, "degraded", trialWait},
			{1, "degraded", trialGiveUp},
			{time.Second, "degraded", trialGiveUp}, // nothing to go back to: it goes on
		},
		"never up": {
			{0, "starting", trialWait},
			{trialStart, "starting", trialGiveUp},
		},
		"a long check": {
			{0, "starting", trialWait},
			{trialStart - 1, "busy", trialWait},
			{time.Hour, "busy", trialWait},
			{time.Second, "starting", trialWait},
			{trialStart - 1, "starting", trialWait},
			{1, "starting", trialGiveUp},
		},
		"recovers": {
			{0, "degraded", trialWait},
			{trialPatience / 2, "ready", trialWait},
			{trialSettle / 2, "degraded", trialWait},
			{trialPatience / 2, "ready", trialWait},
			{trialSettle, "ready", trialBless},
		},
	} {
		var phase trialPhase
		now := time.Unix(0, 0)
		for i, l := range looks {
			now = now.Add(l.after)
			if got := phase.next(l.state, now); got != l.want {
				t.Errorf("%s, look %d: verdict %d, want %d", name, i, got, l.want)
			}
		}
	}
}

// What disks, and programs that the settings name, do wrong is told, and does
// not decide the trial.
func TestTrialIsOfTheSystemAlone(t *testing.T) {
	b := newTestBox(t).Box
	if s := b.trialState(); s != "starting" {
		t.Errorf("before the first verdict: %s", s)
	}
	if err := b.atLength(func() error { return errors.New(b.trialState()) }); err.Error() != "busy" {
		t.Errorf("while a disk is checked: %v", err)
	}
	close(b.judged)
	want := func(what, state, trial, fault string) {
		t.Helper()
		if b.State() != state || b.trialState() != trial || !strings.Contains(strings.Join(b.faults(), "; "), fault) {
			t.Errorf("%s: %s, for the trial %s, faults %q", what, b.State(), b.trialState(), b.faults())
		}
	}
	want("well", "ready", "ready", "")
	away := func(context.Context) error { return errors.New("its server is away") }
	if _, err := b.Supervisor.Add(nko.ServiceSpec{Name: "mail", Run: away, FromSettings: true}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); b.State() == "ready" && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	want("a service of the settings", "degraded", "ready", "service mail is failing (its server is away)")
	b.Problem(fmt.Errorf("the data partition is not mounted: %w", outside(errors.New("UNEXPECTED INCONSISTENCY"))))
	want("damage", "degraded", "ready", "UNEXPECTED INCONSISTENCY")
	b.Problem(outside(nil))
	b.Problem(errors.New("no containers"))
	want("the system's own", "degraded", "degraded", "no containers")
}

// Without the ESP nobody knows whether there is something to go back to: only as
// many reboots as the boot loader counts.
func TestBlindTries(t *testing.T) {
	for name, want := range map[string]bool{
		"entroos_1.efi": false, "entroos_1+3.efi": false, // not counted
		"entroos_1+2-1.efi": true, "entroos_1+0-3.efi": true,
		"entroos_1+0-4.efi": false, // there is nothing else
	} {
		uki, ok := bootslot.ParseName(name)
		if got := blindTry(uki); !ok || got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

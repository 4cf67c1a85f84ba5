package appliance

import (
	"testing"
	"time"
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
			{time.Hour, "starting", trialWait},
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

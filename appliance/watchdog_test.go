package appliance

import (
	"errors"
	"slices"
	"testing"
)

// The watchdogs' hunger is told when it begins and when it ends, not at each
// meal that is missed.
func TestHungerIsToldOnce(t *testing.T) {
	w := new(Watchdog)
	var told []string
	w.OnHunger(func(reason error) {
		if reason == nil {
			told = append(told, "fed")
			return
		}
		told = append(told, reason.Error())
	})
	stuck, worse := errors.New("stuck"), errors.New("worse")
	for _, health := range []error{nil, nil, stuck, worse, nil, nil, worse} {
		w.note(health)
	}
	if want := []string{"stuck", "fed", "worse"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

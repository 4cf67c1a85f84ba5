//go:build !guest

package nko

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/equations"
)

// regular is a liveness that has seen a settled service answer every probeHealthy.
func regular(n int) (*liveness, time.Time) {
	l, now := new(liveness), time.Now()
	for range n + 1 {
		now = now.Add(probeHealthy)
		l.answered(now, true, false)
	}
	return l, now
}

func TestLivenessIsPatientWithASlowBox(t *testing.T) {
	l, last := regular(10)
	// Each probe takes all of its time and is not answered.
	misses, now := 0, last.Add(probeHealthy)
	for range probeMisses {
		now = now.Add(probeTimeout)
		misses++
		if l.silent(now, misses) {
			t.Fatalf("silent after %d misses, %v after its last answer", misses, now.Sub(last))
		}
		now = now.Add(probeUnhealthy)
	}
	now = now.Add(probeTimeout)
	if !l.silent(now, misses+1) {
		phi, _ := l.phi(now)
		t.Errorf("not silent %v after its last answer: φ = %v", now.Sub(last), phi)
	}
	if l.silent(now.Add(time.Hour), probeMisses-1) {
		t.Error("silent with too few misses")
	}
}

func TestLivenessOfLooksAskedFor(t *testing.T) {
	l, now := regular(3)
	for range 200 { // settings change, and each time all are looked at
		now = now.Add(100 * time.Millisecond)
		l.answered(now, true, true)
	}
	phi, known := l.phi(now.Add(probeHealthy + probeTimeout))
	if !known || phi >= suspicion {
		t.Errorf("φ = %v (known: %t) of a service that is well", phi, known)
	}
}

func TestLivenessBeforeThereIsEnoughToJudgeBy(t *testing.T) {
	l, now := regular(1)
	if _, known := l.phi(now.Add(time.Hour)); known {
		t.Error("judged by one interval")
	}
	if !l.silent(now.Add(time.Second), probeMisses) {
		t.Error("the misses alone do not count")
	}
	l, now = regular(5)
	l.begin()
	if _, known := l.phi(now.Add(time.Hour)); known {
		t.Error("judged in a new life without a sign")
	}
}

func TestSilentServiceIsSuspected(t *testing.T) {
	sup := startSupervisor(t)
	var up atomic.Bool
	up.Store(true)
	s, err := sup.Add(ServiceSpec{Name: "ledgerd", Process: sh("exec sleep 1000"), Probe: func(context.Context) error {
		if up.Load() {
			return nil
		}
		return errors.New("refused")
	}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it answers", inState(s, StateRunning))
	s.mu.Lock() // it has answered for a while, and then not for long
	known, last := regular(10)
	s.alive = *known
	s.alive.last = s.alive.last.Add(-time.Until(last))
	s.mu.Unlock()
	facts := sup.Liveness()
	if len(facts) != 1 || !facts[0].Live || facts[0].Phi >= suspicion || facts[0].Phi != facts[0].Seen.Phi(facts[0].Elapsed, facts[0].Floor) {
		t.Fatalf("%+v", facts)
	}
	up.Store(false)
	s.Probe()
	eventually(t, "it has missed enough probes", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.misses > probeMisses
	})
	if st := s.Status(); st.State != StateRunning {
		t.Errorf("%s without φ", st.State)
	}
	s.mu.Lock()
	s.alive.last = s.alive.last.Add(-time.Minute)
	s.mu.Unlock()
	eventually(t, "it is failing", inState(s, StateFailing))
	facts = sup.Liveness()
	if len(facts) != 1 || facts[0].Live || facts[0].Phi < suspicion {
		t.Fatalf("%+v", facts)
	}
	if got := s.Status().Suspicion; got < suspicion {
		t.Errorf("status: φ = %v", got)
	}
}

func TestAvailability(t *testing.T) {
	var h history
	at := time.Now()
	step := func(d time.Duration) time.Time { at = at.Add(d); return at }
	h.enter(isUp, step(time.Second)) // its first start is not counted
	h.enter(isDown, step(90*time.Second))
	h.enter(isDown, step(5*time.Second)) // from restarting to failing
	h.enter(isUp, step(5*time.Second))
	h.enter(neither, step(10*time.Second)) // an operator's stop
	s := &Service{history: h, state: StateStopped}
	a, f := s.availability(step(time.Hour))
	want := Availability{Share: 100.0 / 110, Failures: 1, MTBF: 100 * time.Second, MTTR: 10 * time.Second}
	if a != want || f.Up != 100*time.Second || f.Down != 10*time.Second || f.Availability != equations.Availability(a.MTBF, a.MTTR) {
		t.Errorf("%+v, %+v", a, f)
	}
	never := &Service{state: StateStarting, started: time.Now().Add(-2 * startTimeout)}
	if a, _ := never.availability(time.Now()); a.Share != 0 || a.Failures != 1 {
		t.Errorf("never up: %+v", a)
	}
	fresh := &Service{state: StateStarting, started: time.Now()}
	if a, _ := fresh.availability(time.Now()); a.Share != 1 || a.Failures != 0 {
		t.Errorf("just started: %+v", a)
	}
}

func TestFailuresAreInTheHistory(t *testing.T) {
	sup := startSupervisor(t)
	s, err := sup.Add(ServiceSpec{Name: "sleeper", Process: sh("exec sleep 1000")})
	if err != nil {
		t.Fatal(err)
	}
	console, err := sup.Add(ServiceSpec{Name: "console", Process: sh("exit 0"), Expected: true})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", inState(s, StateRunning))
	if len(sup.Restarts()) != 0 {
		t.Errorf("restarted: %+v", sup.Restarts())
	}
	if err := s.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back", func() bool { st := s.Status(); return st.State == StateRunning && st.Restarts == 1 })
	a := s.Status().Availability
	if a.Failures != 1 || a.Share <= 0 || a.Share >= 1 || a.MTTR < serviceBackoff.Initial/2 {
		t.Errorf("%+v", a)
	}
	restarts := sup.Restarts()
	if len(restarts) != 1 {
		t.Fatalf("%+v", restarts)
	}
	r := restarts[0]
	least, most := equations.RestartBackoff(r.Initial, r.Limit, r.Failures, r.Jitter, 0), equations.RestartBackoff(r.Initial, r.Limit, r.Failures, r.Jitter, 1)
	if r.Service != "sleeper" || r.Failures != 0 || r.Delay < least || r.Delay > most {
		t.Errorf("%+v", r)
	}
	eventually(t, "the console comes back", func() bool { return console.Status().Restarts > 0 })
	if a := console.Status().Availability; a.Failures != 0 || a.Share != 1 {
		t.Errorf("leaving a console: %+v", a)
	}
	var told bool
	for _, f := range sup.Availability() {
		told = told || f.Service == "sleeper" && f.Failures == 1 && f.Availability == equations.Availability(f.Up, f.Down)
	}
	if !told {
		t.Errorf("%+v", sup.Availability())
	}
}

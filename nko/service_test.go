//go:build !guest

package nko

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func startSupervisor(t *testing.T) *Supervisor {
	t.Helper()
	s := NewSupervisor(startReaper(t), CgroupTree{}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	Go("supervisor", func() {
		defer close(done)
		if err := s.Serve(ctx); err != context.Canceled {
			t.Errorf("supervisor: %v", err)
		}
	})
	t.Cleanup(func() { s.Stop(); cancel(); <-done })
	return s
}

func sh(script string) *ProcessSpec {
	return &ProcessSpec{Path: "/bin/sh", Args: []string{"-c", script}, Dir: "/"}
}

func inState(s *Service, want State) func() bool {
	return func() bool { return s.Status().State == want }
}

func TestServiceComesBackAfterKill(t *testing.T) {
	sup := startSupervisor(t)
	s, err := sup.Add(ServiceSpec{Name: "sleeper", Process: sh("exec sleep 1000")})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", inState(s, StateRunning))
	first := s.Status().PID
	if err := s.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back", func() bool {
		st := s.Status()
		return st.State == StateRunning && st.PID != 0 && st.PID != first && st.Restarts == 1
	})
	if got := s.Status().LastExit; got != "signal: killed" {
		t.Errorf("last exit %q", got)
	}
}

func TestServiceThatKeepsFailingTakesNoOtherAlong(t *testing.T) {
	sup := startSupervisor(t)
	good, err := sup.Add(ServiceSpec{Name: "good", Process: sh("exec sleep 1000")})
	if err != nil {
		t.Fatal(err)
	}
	bad, err := sup.Add(ServiceSpec{Name: "bad", Process: sh("echo why; exit 4")})
	if err != nil {
		t.Fatal(err)
	}
	missing, err := sup.Add(ServiceSpec{Name: "missing", Process: &ProcessSpec{Path: "/nonexistent", Dir: "/"}})
	if err != nil {
		t.Fatal(err)
	}
	panics, err := sup.Add(ServiceSpec{Name: "panics", Run: func(context.Context) error { panic("no") }})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", inState(good, StateRunning))
	pid := good.Status().PID
	for s, reason := range map[*Service]string{bad: "exit status 4", missing: "no such file", panics: "panic: no"} {
		eventually(t, s.String()+" is failing", inState(s, StateFailing))
		if st := s.Status(); !strings.Contains(st.LastExit, reason) || st.Restarts < failingAfter-1 {
			t.Errorf("%s: %+v", s, st)
		}
	}
	if st := good.Status(); st.PID != pid || st.Restarts != 0 {
		t.Errorf("the good one: %+v", st)
	}
	if n := len(sup.Unhealthy()); n != 3 {
		t.Errorf("%d unhealthy", n)
	}
	var said []string
	if err := bad.Log().Follow(t.Context(), false, 1, func(l LogLine) error { said = append(said, string(l.Text)); return nil }); err != nil || len(said) != 1 || said[0] != "why" {
		t.Errorf("log %q, error %v", said, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := sup.Alive(ctx); err != nil {
		t.Error(err)
	}
}

func TestServiceThatWantsNoRestart(t *testing.T) {
	sup := startSupervisor(t)
	for name, p := range map[string]*ProcessSpec{"125": sh("exit 125"), "success": {Path: "/bin/true", Dir: "/", StopOnSuccess: true}} {
		s, err := sup.Add(ServiceSpec{Name: name, Process: p})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" stops", inState(s, StateStopped))
		if st := s.Status(); st.Restarts != 0 || !st.State.Healthy() {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

func TestServiceWaitsForTheWorld(t *testing.T) {
	sup := startSupervisor(t)
	var lease atomic.Bool
	dhcp, err := sup.Add(ServiceSpec{
		Name: "dhcp", Process: sh("sleep 0.1; exit 1"), Expected: true,
		Probe: func(context.Context) error {
			if lease.Load() {
				return nil
			}
			return fmt.Errorf("no lease: %w", ErrWaiting)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits", inState(dhcp, StateWaiting))
	eventually(t, "it waits after its end", func() bool { return dhcp.Status().PID == 0 && dhcp.Status().State == StateWaiting })
	gate := filepath.Join(t.TempDir(), "gate")
	ntp, err := sup.Add(ServiceSpec{
		Name: "ntp", ReadyText: "clock set to",
		Process: sh("until test -e " + gate + "; do sleep 0.02; done; echo clock set to now; exec sleep 1000"),
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits", inState(ntp, StateWaiting))
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has its answer", inState(ntp, StateRunning))
}

func TestServiceIsAskedWhetherItWorks(t *testing.T) {
	sup := startSupervisor(t)
	var up atomic.Bool
	s, err := sup.Add(ServiceSpec{Name: "ledgerd", Process: sh("exec sleep 1000"), Probe: func(context.Context) error {
		if up.Load() {
			return nil
		}
		return errors.New("refused")
	}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has a process", func() bool { return s.Status().PID != 0 })
	if st := s.Status().State; st != StateStarting {
		t.Errorf("before it answers: %s", st)
	}
	up.Store(true)
	eventually(t, "it answers", inState(s, StateRunning))
	up.Store(false)
	s.Probe()
	eventually(t, "it does not answer any more", inState(s, StateFailing))
}

func TestConsoleIsRespawned(t *testing.T) {
	sup := startSupervisor(t)
	s, err := sup.Add(ServiceSpec{Name: "console", Process: sh("exit 0"), Expected: true})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it comes back more often than failures could", func() bool { return s.Status().Restarts > failingAfter+1 })
	if st := s.Status().State; st == StateFailing {
		t.Error("leaving a console is a failure")
	}
}

func TestStopIsOrderedAndLeavesNothing(t *testing.T) {
	sup := startSupervisor(t)
	trace := filepath.Join(t.TempDir(), "trace")
	for _, name := range []string{"first", "second", "third"} {
		s, err := sup.Add(ServiceSpec{Name: name, ReadyText: "trapped", Process: sh(
			"trap 'sleep 0.05; echo " + name + " >>" + trace + "; exit 0' TERM; echo trapped; (while :; do sleep 0.1; done) & while :; do sleep 0.01; done")})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" runs", inState(s, StateRunning))
	}
	stubborn, err := sup.Add(ServiceSpec{Name: "stubborn", Grace: 200 * time.Millisecond, ReadyText: "trapped", Process: sh("trap '' TERM; echo trapped; while :; do sleep 0.01; done")})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", inState(stubborn, StateRunning))
	sup.Stop()
	text, err := os.ReadFile(trace)
	if err != nil || string(text) != "third\nsecond\nfirst\n" {
		t.Errorf("stopped in the order %q (%v)", text, err)
	}
	for _, s := range sup.Services() {
		if st := s.Status(); st.State != StateStopped || st.PID != 0 {
			t.Errorf("%+v", st)
		}
	}
	if _, err := sup.Add(ServiceSpec{Name: "late", Process: sh("true")}); err == nil {
		t.Error("a service was added while the box stops")
	}
}

func TestEnvironmentIsGokrazys(t *testing.T) {
	sup := startSupervisor(t)
	home := t.TempDir()
	out := filepath.Join(home, "out")
	_, err := sup.Add(ServiceSpec{Name: "env", Process: &ProcessSpec{
		Path: "/bin/sh", Args: []string{"-c", "env | sort >" + out + ".part; pwd >>" + out + ".part; mv " + out + ".part " + out + "; exit 125"},
		Home: home, Env: []string{"USER=me", "X=1"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	eventually(t, "it has written", func() bool { text, err = os.ReadFile(out); return err == nil })
	for _, want := range []string{"HOME=" + home + "/sh\n", "PATH=/user:/gokrazy:/bin\n", "USER=me\n", "X=1\n", "GOKRAZY_FIRST_START=1\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	if strings.Contains(string(text), "USER=root") || !strings.HasSuffix(string(text), home+"/sh\n") {
		t.Errorf("environment and folder: %q", text)
	}
}

func TestBackoffWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Backoff{
			Initial: time.Duration(rapid.Int64Range(1, int64(time.Second)).Draw(t, "initial")),
			Max:     time.Duration(rapid.Int64Range(int64(time.Second), int64(time.Hour)).Draw(t, "max")),
			Jitter:  rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		k := rapid.IntRange(0, 100).Draw(t, "k")
		base := float64(b.Max)
		if k < 50 {
			base = min(base, float64(b.Initial)*float64(uint64(1)<<k))
		}
		d := float64(b.Delay(k))
		if d < base*(1-b.Jitter)-1 || d > base*(1+b.Jitter)+1 {
			t.Fatalf("delay %v of base %v", time.Duration(d), time.Duration(base))
		}
	})
}

func TestLogRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLogRing()
		w := l.Writer(false, nil)
		text := rapid.SliceOfN(rapid.StringMatching(`[a-z]{0,20}\n`), 0, 50).Draw(t, "lines")
		all := strings.Join(text, "")
		for rest := all; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		tail := rapid.IntRange(-1, 60).Draw(t, "tail")
		want := text
		if tail >= 0 && tail < len(want) {
			want = want[len(want)-tail:]
		}
		var got strings.Builder
		if err := l.Follow(context.Background(), false, int64(tail), func(line LogLine) error {
			got.Write(line.Text)
			got.WriteByte('\n')
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got.String() != strings.Join(want, "") {
			t.Fatalf("got %q, want %q", got.String(), want)
		}
	})
}

func TestLogRingIsBounded(t *testing.T) {
	l := NewLogRing()
	w := l.Writer(true, nil)
	for range 100 {
		if _, err := w.Write([]byte(strings.Repeat("x", 10_000))); err != nil { // no end of line
			t.Fatal(err)
		}
	}
	for range 3 * logRingLines {
		if _, err := w.Write([]byte("y\n")); err != nil {
			t.Fatal(err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) > logRingLines || l.bytes > logRingBytes {
		t.Fatalf("%d lines, %d bytes", len(l.lines), l.bytes)
	}
}

func TestLogRingFollows(t *testing.T) {
	l := NewLogRing()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan string)
	done := make(chan error, 1)
	Go("follow", func() {
		done <- l.Follow(ctx, true, 0, func(line LogLine) error { got <- string(line.Text); return nil })
	})
	w := l.Writer(false, nil)
	for i := range 5 {
		// What is written before Follow has begun is not followed.
		eventually(t, "a line arrives", func() bool {
			if _, err := fmt.Fprintf(w, "line %d\n", i); err != nil {
				t.Fatal(err)
			}
			select {
			case s := <-got:
				return s == fmt.Sprintf("line %d", i)
			case <-time.After(5 * time.Millisecond):
				return false
			}
		})
	}
	cancel()
	for {
		select {
		case <-got:
			continue
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			return
		}
	}
}

func TestRemovedServiceIsGone(t *testing.T) {
	sup := startSupervisor(t)
	s, err := sup.Add(ServiceSpec{Name: "sleeper", Process: sh("exec sleep 1000")})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", inState(s, StateRunning))
	pid := s.Status().PID
	if err := sup.Remove("sleeper"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("its process: %v", err)
	}
	if sup.Service("sleeper") != nil {
		t.Error("it is still listed")
	}
	if err := sup.Remove("sleeper"); err == nil {
		t.Error("what is gone can be removed")
	}
	again, err := sup.Add(ServiceSpec{Name: "sleeper", Process: sh("exec sleep 1000")})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "another of its name runs", inState(again, StateRunning))
}

func TestServiceAwaits(t *testing.T) {
	sup := startSupervisor(t)
	var asked atomic.Int32
	come := make(chan struct{})
	s, err := sup.Add(ServiceSpec{Name: "patient", Process: sh("exec sleep 1000"), Await: func(ctx context.Context) error {
		asked.Add(1)
		select {
		case <-come:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits", inState(s, StateWaiting))
	if s.Status().PID != 0 {
		t.Error("it runs while it waits")
	}
	close(come)
	eventually(t, "it runs", inState(s, StateRunning))
	if err := s.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back", func() bool { st := s.Status(); return st.State == StateRunning && st.Restarts == 1 })
	if n := asked.Load(); n != 1 {
		t.Errorf("it waited %d times", n)
	}
	waiting, err := sup.Add(ServiceSpec{Name: "forever", Process: sh("exit 0"), Await: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits", inState(waiting, StateWaiting))
	if err := sup.Remove("forever"); err != nil {
		t.Error(err)
	}
}

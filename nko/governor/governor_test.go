package governor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/nko/governor"
)

const point = 0.01

// within checks a utilisation over the next 10 s.
func (k *kernel) within(what string, want float64) {
	k.Helper()
	if u := k.utilisation(10 * time.Second); math.Abs(u-want) > point {
		k.Errorf("%s: the box uses %.2f %%, not %.2f", what, u*100, want*100)
	}
}

func TestSettlesWithinTenSecondsOfAStep(t *testing.T) {
	for _, cpus := range []int{1, 2, 4, 64} {
		for _, target := range []float64{0.05, 0.2, 0.5, 0.9} {
			t.Run(fmt.Sprintf("%d CPUs, %v", cpus, target), func(t *testing.T) {
				simulate(t, cpus, target, func(k *kernel, g *governor.Governor) {
					k.system = 0.01
					k.run(time.Minute) // it rests
					k.demand = 1
					k.run(10 * time.Second)
					k.within("10 s after a step", target)
					k.run(time.Minute)
					k.within("then", target)
				})
			})
		}
	}
}

func TestDisturbanceBySystem(t *testing.T) {
	simulate(t, 2, 0.2, func(k *kernel, g *governor.Governor) {
		k.demand, k.system = 1, 0.02
		k.run(30 * time.Second)
		k.system = 0.12
		k.run(10 * time.Second)
		k.within("more for the services", 0.2)
		k.system = 0
		k.run(10 * time.Second)
		k.within("less for them", 0.2)
		k.overhead = 0.3 // ticks that count too much
		k.run(10 * time.Second)
		k.within("overhead", 0.2)
	})
}

// Services that take all keep the workloads at a quarter of the target, and
// leave no debt behind.
func TestSaturationByTheSystemDoesNotWindUp(t *testing.T) {
	simulate(t, 2, 0.2, func(k *kernel, g *governor.Governor) {
		k.demand, k.system = 1, 0.6
		k.run(5 * time.Minute)
		if q := k.quota(); math.Abs(q-0.05) > 1e-6 {
			t.Errorf("the workloads have %v", q)
		}
		k.system = 0
		k.run(10 * time.Second)
		k.within("after five minutes without room", 0.2)
	})
}

// Workloads that want less than the target do not save up.
func TestLittleDemandDoesNotWindUp(t *testing.T) {
	simulate(t, 2, 0.2, func(k *kernel, g *governor.Governor) {
		k.demand = 0.15
		k.run(10 * time.Minute)
		k.within("little demand", 0.15)
		k.demand = 1
		k.run(10 * time.Second)
		k.within("10 s after it rose", 0.2)
	})
}

func TestNoise(t *testing.T) {
	simulate(t, 1, 0.2, func(k *kernel, g *governor.Governor) {
		k.demand, k.noise = 1, 30*time.Millisecond
		k.run(20 * time.Second)
		for i := range 6 {
			k.within(fmt.Sprint("window ", i), 0.2)
		}
	})
}

// The services' bursts come and go faster than they can be made up for; the mean
// stays.
func TestBurstsOfTheSystem(t *testing.T) {
	simulate(t, 1, 0.2, func(k *kernel, g *governor.Governor) {
		k.demand = 1
		k.used = func(period int) float64 { return []float64{0, 0.05, 0.02, 0, 0.08, 0, 0.01}[period%7] }
		k.run(20 * time.Second)
		for i := range 3 {
			k.within(fmt.Sprint("window ", i), 0.2)
		}
	})
}

func TestTargetChangesWhileItRuns(t *testing.T) {
	simulate(t, 2, 0.2, func(k *kernel, g *governor.Governor) {
		k.demand, k.system = 1, 0.03
		k.run(20 * time.Second)
		for _, target := range []float64{0.5, 0.1, 0.9, 0.2} {
			if err := g.SetTarget(target); err != nil {
				t.Fatal(err)
			}
			k.run(10 * time.Second)
			k.within(fmt.Sprint("target ", target), target)
			if s := g.Status(); s.Target != target {
				t.Errorf("%+v", s)
			}
		}
		if err := g.SetTarget(governor.Ungoverned); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := k.read("cgroup/workloads/cpu.max"); got != "max" {
			t.Errorf("ungoverned, cpu.max is %q", got)
		}
		k.run(10 * time.Second)
		k.within("ungoverned", 1)
		var facts equations.Telemetry
		if err := g.Facts(&facts); err != nil || facts.Governor != nil || facts.Utilisation == nil {
			t.Errorf("ungoverned: %+v, %v", facts, err)
		}
		if err := g.SetTarget(0.2); err != nil {
			t.Fatal(err)
		}
		k.run(10 * time.Second)
		k.within("governed again", 0.2)
		for _, bad := range []float64{0, -1, 1.01, math.NaN(), math.Inf(1)} {
			if err := g.SetTarget(bad); err == nil {
				t.Errorf("a target of %v is taken", bad)
			}
		}
		k.run(10 * time.Second)
		k.within("after targets that are none", 0.2)
	})
}

// An idle box is not looked at each second, and its governor begins anew at T;
// one that runs no container is looked at more rarely still.
func TestRestsWhenIdle(t *testing.T) {
	simulate(t, 1, 0.2, func(k *kernel, g *governor.Governor) {
		k.add("lazy", 100)
		g.Wake()
		k.system = 0.01
		k.demand = 1
		k.run(20 * time.Second)
		k.demand = 0
		k.run(30 * time.Second)
		if q := k.quota(); math.Abs(q-0.2) > 1e-6 {
			t.Errorf("at rest the workloads may use %v", q)
		}
		looks := func() (n int) {
			last := g.Status().Utilisation
			for range 240 { // a minute
				k.system += 0.0001 // so that each look sees another utilisation
				k.run(simulatedPeriod)
				synctest.Wait()
				if u := g.Status().Utilisation; u != last {
					n, last = n+1, u
				}
			}
			return n
		}
		if n := looks(); n < 11 || n > 13 {
			t.Errorf("%d looks in a minute of rest", n)
		}
		k.containers = nil
		g.Wake()
		k.run(30 * time.Second)
		if n := looks(); n < 1 || n > 3 {
			t.Errorf("%d looks in a minute without containers", n)
		}
	})
}

func TestWeights(t *testing.T) {
	simulate(t, 1, 0.2, func(k *kernel, g *governor.Governor) {
		one, three := k.add("one", 100), k.add("three", 300)
		lazy := k.add("lazy", 200)
		lazy.idle = true
		g.Wake()
		synctest.Wait()
		for id, want := range map[string]string{"one": "50", "three": "150", "lazy": "100"} {
			if got := k.read("cgroup/workloads/" + id + "/cpu.weight"); got != want {
				t.Errorf("%s weighs %s, want %s", id, got, want)
			}
		}
		k.demand = 1
		k.run(time.Minute)
		if ratio := float64(three.used) / float64(one.used); math.Abs(ratio-3) > 0.01 {
			t.Errorf("CPU is shared 1:%v", ratio)
		}
		var facts equations.Telemetry
		if err := g.Facts(&facts); err != nil {
			t.Fatal(err)
		}
		if len(facts.Containers) != 3 || facts.Fairness == nil || len(facts.Fairness.Received) != 2 {
			t.Fatalf("%+v, %+v", facts.Containers, facts.Fairness)
		}
		var x []float64
		for i, r := range facts.Fairness.Received {
			x = append(x, float64(r)/float64(facts.Fairness.Entitled[i]))
		}
		if j := equations.JainFairness(x); j < 0.999 {
			t.Errorf("Jain's index is %v of %v", j, x)
		}
		sum := 0.0
		for _, c := range facts.Containers {
			sum += c.Entitlement
			if c.MemoryMax != 256<<20 || c.MemoryHigh != 240<<20 || c.ThrottleRatio != 1 {
				t.Errorf("%+v", c)
			}
		}
		if math.Abs(sum-facts.Governor.After.Quota) > 1e-12 {
			t.Errorf("the entitlements sum to %v of %v", sum, facts.Governor.After.Quota)
		}
		// One leaves: the others are weighed anew.
		k.containers = k.containers[1:]
		if err := os.RemoveAll(k.path("cgroup/workloads/one")); err != nil {
			t.Fatal(err)
		}
		if err := g.Facts(&facts); err != nil || len(facts.Containers) != 2 {
			t.Errorf("with one gone: %+v, %v", facts.Containers, err)
		}
		g.Wake()
		synctest.Wait()
		if got := k.read("cgroup/workloads/three/cpu.weight"); got != "120" {
			t.Errorf("three weighs %s", got)
		}
	})
}

func TestFacts(t *testing.T) {
	simulate(t, 4, 0.2, func(k *kernel, g *governor.Governor) {
		k.system = 0.01
		k.add("one", 100)
		g.Wake()
		k.run(20 * time.Second)
		var facts equations.Telemetry
		if err := g.Facts(&facts); err != nil {
			t.Fatal(err)
		}
		if f := facts.Governor; f == nil || f.Step != nil || f.Saturated != nil || f.Interval != governor.Interval {
			t.Errorf("unsaturated: %+v", f)
		}
		k.demand = 1
		k.run(45 * time.Second)
		facts = equations.Telemetry{}
		if err := g.Facts(&facts); err != nil {
			t.Fatal(err)
		}
		f := facts.Governor
		if want := f.Governor.Step(f.Before, f.Utilisation, f.Elapsed); want != f.After {
			t.Errorf("the step is %+v, not %+v", f.After, want)
		}
		if want := equations.CPUQuota(f.After.Quota, 4, f.Period); want != f.Quota {
			t.Errorf("the kernel holds %v, not %v", f.Quota, want)
		}
		if len(f.Step) != 1 || f.Step[0].After < 10*time.Second || math.Abs(f.Step[0].Utilisation-0.2) > point {
			t.Fatalf("%+v", f.Step)
		}
		if e := equations.TargetError(f.Saturated.Utilisation, 0.2); e > 0.05 {
			t.Errorf("target error %v: %+v", e, f.Saturated)
		}
		s := facts.Smoothing[0]
		if want := equations.Smooth(s.Old, s.Latest, equations.Decay(s.Elapsed, s.HalfLife)); want != s.Result {
			t.Errorf("%+v", s)
		}
		if len(facts.Pressure) != 3 || facts.Energy != nil || facts.Fairness != nil {
			t.Errorf("%+v, %+v, %+v", facts.Pressure, facts.Energy, facts.Fairness)
		}
		k.demand = 0.1
		k.run(3 * time.Second)
		if err := g.Facts(&facts); err != nil || facts.Governor.Step != nil || facts.Governor.Saturated != nil {
			t.Errorf("the demand has fallen: %+v, %v", facts.Governor, err)
		}
	})
}

func TestEnergy(t *testing.T) {
	k := newKernel(t, 1)
	const span = 262143328850
	counter := uint64(span - 15_000_000)
	package0 := "sys/class/powercap/intel-rapl:0/"
	k.write(package0+"name", "package-0")
	k.write(package0+"max_energy_range_uj", fmt.Sprint(uint64(span)))
	k.write(package0+"energy_uj", fmt.Sprint(counter))
	k.write("sys/class/powercap/intel-rapl:0:0/name", "core") // a part of it
	synctest.Test(t, func(t *testing.T) {
		k.TB = t
		g, err := governor.New(k.config(0.2))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Serve(ctx) }()
		k.demand = 1
		for range 80 { // 10 W; the counter begins anew on the way
			counter = (counter + 2_500_000) % span
			k.write(package0+"energy_uj", fmt.Sprint(counter))
			k.run(simulatedPeriod)
			if s := g.Status(); s.Watts != 0 && math.Abs(s.Watts-10) > 0.01 {
				t.Fatalf("%v W", s.Watts)
			}
		}
		if s := g.Status(); s.Watts == 0 {
			t.Error("no watts")
		}
		var facts equations.Telemetry
		if err := g.Facts(&facts); err != nil || len(facts.Energy) != 1 || math.Abs(facts.Energy[0].Energy-10) > 0.01 {
			t.Errorf("%+v, %v", facts.Energy, err)
		}
		cancel()
		<-done
	})
}

func TestBrake(t *testing.T) {
	simulate(t, 1, 0.2, func(k *kernel, g *governor.Governor) {
		k.add("large", 100)
		g.Wake()
		k.run(20 * time.Second)
		k.stall = 0.9
		k.run(10 * time.Second)
		if why, _ := g.Brake(); why != "" {
			t.Errorf("one container at its limit brakes the box: %s", why)
		}
		k.write("cgroup/workloads/memory.current", fmt.Sprint(310<<20))
		k.run(10 * time.Second)
		why, released := g.Brake()
		if !strings.Contains(why, "short of memory") || !strings.Contains(why, "90 %") || g.Status().Brake != why {
			t.Errorf("it does not brake: %q", why)
		}
		k.stall = 0.15 // less, but not little
		k.run(10 * time.Second)
		select {
		case <-released:
			t.Error("it is released early")
		default:
		}
		k.stall = 0.05
		k.run(2 * time.Second)
		select {
		case <-released:
		default:
			t.Error("it is not released within two looks")
		}
		if why, released := g.Brake(); why != "" {
			t.Errorf("released, it says %q", why)
		} else if _, open := <-released; open {
			t.Error("its channel is not closed")
		}
		k.stall = 0.9
		k.write("cgroup/workloads/memory.current", fmt.Sprint(310<<20))
		k.write("cgroup/workloads/memory.stat", fmt.Sprintf("active_file %d\ninactive_file %d\nslab_reclaimable 0", 100<<20, 100<<20))
		k.run(10 * time.Second)
		if why, _ := g.Brake(); why != "" {
			t.Errorf("a page cache brakes the box: %s", why)
		}
	})
}

func TestRefuses(t *testing.T) {
	k := newKernel(t, 1)
	for _, target := range []float64{0, -0.2, 1.2, math.NaN(), math.Inf(1)} {
		if _, err := governor.New(k.config(target)); err == nil {
			t.Errorf("a target of %v is taken", target)
		}
	}
	c := k.config(0.2)
	c.CPUs = 0
	if _, err := governor.New(c); err == nil {
		t.Error("a box without a CPU is governed")
	}
}

// What cannot be read ends the service with an error, which its supervisor
// tells.
func TestBrokenKernelFiles(t *testing.T) {
	for name, text := range map[string]string{
		"cgroup/cpu.stat":           "user_usec 1",
		"cgroup/workloads/cpu.stat": "usage_usec 1\nnr_periods x",
		"proc/pressure/memory":      "some total=1",
		"proc/pressure/cpu":         "some avg10=0.00",
		"proc/pressure/io":          "full total=-1",
	} {
		t.Run(name, func(t *testing.T) {
			k := newKernel(t, 1)
			k.write(name, text)
			g, err := governor.New(k.config(0.2))
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), name[strings.LastIndex(name, "/")+1:]) {
				t.Errorf("it ends with %v", err)
			}
		})
	}
	k := newKernel(t, 1)
	if err := os.RemoveAll(k.path("cgroup/workloads")); err != nil {
		t.Fatal(err)
	}
	g, err := governor.New(k.config(0.2))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Serve(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a cgroup it ends with %v", err)
	}
}

// TestSettlesFromAnywhere lets demand and services change at random; 10 s after
// the last change the box is within a point of what it should use.
func TestSettlesFromAnywhere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		// What is above what is left of the CPUs cannot be seen: close to 1 it
		// would take longer.
		target := rapid.Float64Range(0.05, 0.5).Draw(rt, "target")
		cpus := rapid.IntRange(1, 8).Draw(rt, "CPUs")
		simulate(t, cpus, target, func(k *kernel, g *governor.Governor) {
			k.add("load", 100)
			g.Wake()
			for range rapid.IntRange(1, 4).Draw(rt, "changes") {
				k.demand = rapid.SampledFrom([]float64{0, target / 3, target, 1}).Draw(rt, "demand")
				k.system = rapid.Float64Range(0, target/2).Draw(rt, "system")
				k.run(time.Duration(rapid.IntRange(1, 20).Draw(rt, "seconds")) * time.Second)
			}
			k.demand = 1
			k.run(10 * time.Second)
			k.within("saturated", target)
		})
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// A container's start on a quiet box has all CPUs, but for so long only, and not
// again and again.
func TestHastensStarts(t *testing.T) {
	simulate(t, 2, 0.2, func(k *kernel, g *governor.Governor) {
		making := func(now bool) {
			k.making, k.demand = now, 0
			if now {
				k.demand = 1
			}
			g.Wake()
			synctest.Wait()
		}
		check := func(what string, want float64) {
			t.Helper()
			if q := k.quota(); math.Abs(q-want) > 1e-6 {
				t.Errorf("%s the workloads may use %v, not %v", what, q, want)
			}
		}
		k.system = 0.01
		k.run(30 * time.Second)
		making(true)
		check("while a container is made", 1)
		var facts equations.Telemetry
		if err := g.Facts(&facts); err != nil || equations.CPUQuota(facts.Governor.After.Quota, 2, facts.Governor.Period) != facts.Governor.Quota {
			t.Errorf("%+v, %v", facts.Governor, err)
		}
		k.run(time.Second)
		making(false)
		check("then", 0.2)
		k.run(30 * time.Second)

		making(true)
		k.run(7 * time.Second)
		if q := k.quota(); q > 0.3 {
			t.Errorf("a start that does not end leaves the workloads %v", q)
		}
		making(false)
		k.run(time.Minute)

		busy, at := k.busy, time.Now()
		for range 120 { // one after the other
			making(true)
			k.run(time.Second)
			making(false)
			k.run(time.Second)
		}
		if u := float64(k.busy-busy) / float64(time.Since(at)) / 2; u > 0.25 {
			t.Errorf("starts one after the other use %v of the box", u)
		}

		k.demand = 1
		k.run(20 * time.Second)
		k.making = true
		g.Wake()
		synctest.Wait()
		if q := k.quota(); q > 0.3 {
			t.Errorf("on a saturated box a start has %v", q)
		}
		k.making = false
		k.within("saturated", 0.2)
	})
}

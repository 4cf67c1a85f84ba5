package nko

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thejerf/suture/v4"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/runtime/rate"
)

// State of a service.
type State string

// The states of a service.
const (
	// StateStarting: it runs, and does not yet do its work.
	StateStarting State = "starting"
	// StateRunning: it does its work.
	StateRunning State = "running"
	// StateWaiting: it waits for something outside the box (network, clock).
	// A waiting service is healthy.
	StateWaiting State = "waiting"
	// StateRestarting: it ended and comes back after a delay.
	StateRestarting State = "restarting"
	// StateFailing: it ended again and again, or does not come up. It is
	// still restarted.
	StateFailing State = "failing"
	// StateStopped: it ended and is not restarted.
	StateStopped State = "stopped"
)

// Healthy says that nothing is wrong with a service in this state.
func (s State) Healthy() bool {
	return s == StateRunning || s == StateWaiting || s == StateStopped
}

// ErrWaiting, wrapped by what a service's Probe returns, says that the service
// waits for something outside the box.
var ErrWaiting = errors.New("waiting")

const (
	failingAfter    = 4                // failures in a row until "failing"
	startTimeout    = 3 * time.Minute  // "starting" for so long is "failing"
	stableAfter     = 15 * time.Second // up for so long, failures are forgotten
	probeTimeout    = 5 * time.Second
	probeStarting   = 50 * time.Millisecond  // between the first probes of a life
	probeUnhealthy  = 500 * time.Millisecond // between later ones, until healthy
	probeWaiting    = 3 * time.Second        // while waiting
	probeHealthy    = 30 * time.Second       // after
	probeSettled    = time.Hour              // where there is nothing more to ask
	probeMisses     = 6                      // in a row until "failing"
	expectedRespawn = 500 * time.Millisecond // back after an expected end
)

// serviceBackoff spaces the restarts of services.
var serviceBackoff = Backoff{Initial: 200 * time.Millisecond, Max: 30 * time.Second, Jitter: 0.2}

// ServiceSpec is what a service is. Exactly one of Process and Run is set.
type ServiceSpec struct {
	Name string
	// Process is a program to run.
	Process *ProcessSpec
	// Run is a part of PID 1 itself. It returns when ctx ends.
	Run func(ctx context.Context) error
	// Await, when set, returns when the service may start for the first time;
	// until then it is waiting.
	Await func(ctx context.Context) error
	// Probe says whether the service does its work: nil is yes, an error
	// wrapping ErrWaiting is "waits for the world", any other is not yet.
	// Without a Probe a service that runs does its work.
	Probe func(ctx context.Context) error
	// ReadyText stands in the line of output by which the service says that
	// it has what it was waiting for; until then it is waiting.
	ReadyText string
	// Expected says that ends are part of the service's life and no failures:
	// of a console whose user has left (StateRestarting), or a DHCP client
	// that found no server (StateWaiting, with a Probe or a ReadyText).
	Expected bool
	// FromSettings says that what the service does is up to the box's settings,
	// and to whoever wrote its program.
	FromSettings bool
	// Grace is the time from SIGTERM to SIGKILL; 0 is 10 s.
	Grace time.Duration
}

// Service is one supervised part of the box. Serve runs it, restarts it with
// back-off when it ends, and never gives up.
type Service struct {
	spec   ServiceSpec
	reaper *Reaper
	tree   CgroupTree
	logger *slog.Logger
	log    *LogRing
	bucket *rate.Bucket  // of its log
	probe  chan struct{} // a look is wanted now

	mu         sync.Mutex
	state      State
	pid        int
	child      *Child
	cgroup     string
	started    time.Time
	restarts   uint32
	failures   int // lives that ended too soon, in a row
	misses     int // probes without an answer, in a row
	alive      liveness
	silenced   bool // failing because it does not answer
	orderly    bool // its last life ended as is part of it
	history    history
	delayed    *equations.RestartFacts // the last delay after a failure
	lastExit   string
	lifetime   uint64        // counts lives
	memoryTold bool          // that its memory cannot be read
	changed    chan struct{} // closed and replaced at each change of state

	ready atomic.Bool // ReadyText was seen in this life
}

var _ suture.Service = (*Service)(nil)

// ServiceStatus is a service as seen at one moment.
type ServiceStatus struct {
	Name     string
	State    State
	PID      int // 0 when it has no process
	Restarts uint32
	Started  time.Time
	LastExit string
	Memory   uint64 // bytes; 0 when it has no cgroup
	// FromSettings is the ServiceSpec's.
	FromSettings bool
	Availability Availability
	// Suspicion is φ (equation 67): how much a probed service is suspected of
	// having failed silently. It is 0 before there is enough to judge by.
	Suspicion float64
}

// ErrStop, wrapped by what ends a service, says that it is not to be restarted.
var ErrStop = errors.New("not to be restarted")

// String is the service's name.
func (s *Service) String() string { return s.spec.Name }

// Log holds the last lines the service wrote.
func (s *Service) Log() *LogRing { return s.log }

// Probe asks for a look at the service's health now.
func (s *Service) Probe() {
	select {
	case s.probe <- struct{}{}:
	default: // one is due already
	}
}

// Status gives the service's state.
func (s *Service) Status() ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.standing()
	if s.cgroup != "" {
		var err error
		st.Memory, err = cgroupMemory(s.cgroup)
		// Without the memory controller, or before its cgroup is made anew,
		// there is nothing to say.
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !s.memoryTold {
			s.memoryTold = true
			s.logger.Warn("a service's memory is not known", "service", s.spec.Name, "error", err)
		}
	}
	return st
}

// standing is the service's status without what has to be asked of the kernel.
// s.mu is held.
func (s *Service) standing() ServiceStatus {
	st := ServiceStatus{
		Name: s.spec.Name, State: s.state, PID: s.pid, Restarts: s.restarts,
		Started: s.started, LastExit: s.lastExit, FromSettings: s.spec.FromSettings,
	}
	if s.state == StateStarting && time.Since(s.started) > startTimeout {
		st.State = StateFailing
		if st.LastExit == "" {
			st.LastExit = fmt.Sprintf("not up after %v", startTimeout)
		}
	}
	now := time.Now()
	st.Availability, _ = s.availability(now)
	st.Suspicion, _ = s.alive.phi(now)
	return st
}

func (s *Service) set(state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == state {
		return
	}
	s.record(state)
	s.state = state
	close(s.changed)
	s.changed = make(chan struct{})
}

// Serve runs the service until ctx ends or the service wants no more.
func (s *Service) Serve(ctx context.Context) error {
	if s.spec.Await != nil {
		s.set(StateWaiting)
		if err := s.spec.Await(ctx); err != nil {
			s.set(StateStopped)
			return err
		}
	}
	for {
		s.begin()
		err := s.live(ctx)
		uptime := s.end(err)
		switch {
		case ctx.Err() != nil:
			s.set(StateStopped)
			return ctx.Err()
		case errors.Is(err, ErrStop):
			s.logger.Info("service stopped", "service", s.spec.Name, "reason", err)
			s.set(StateStopped)
			return suture.ErrDoNotRestart
		}
		timer := time.NewTimer(s.judge(err, uptime))
		select {
		case <-ctx.Done():
			timer.Stop()
			s.set(StateStopped)
			return ctx.Err()
		case <-timer.C:
		}
		s.mu.Lock()
		s.restarts++
		s.mu.Unlock()
	}
}

func (s *Service) begin() {
	s.mu.Lock()
	s.started = time.Now()
	s.lifetime++
	s.misses, s.silenced = 0, false
	s.alive.begin()
	s.ready.Store(false)
	failing := s.failures >= failingAfter
	s.mu.Unlock()
	if !failing { // a failing one stays so until it has done its work
		s.set(StateStarting)
	}
}

// live is one life of the service, with its health looked at meanwhile.
func (s *Service) live(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	probing := make(chan struct{})
	up := make(chan struct{})
	Go("probe of "+s.spec.Name, func() {
		defer close(probing)
		select {
		case <-up:
			s.watch(ctx)
		case <-ctx.Done():
		}
	})
	err := Protect(s.spec.Name, func() error {
		if s.spec.Process != nil {
			return s.runProcess(ctx, func() { close(up) })
		}
		close(up)
		return s.spec.Run(ctx)
	})
	cancel()
	<-probing
	return err
}

// end notes how a life ended and gives how long it was.
func (s *Service) end(err error) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid, s.child = 0, nil
	s.lastExit = "exit status 0"
	if err != nil {
		s.lastExit = err.Error()
	}
	return time.Since(s.started)
}

// judge sets the state after a life that ended, and gives the delay before the
// next.
func (s *Service) judge(err error, uptime time.Duration) time.Duration {
	var exit *ExitError
	s.mu.Lock()
	s.orderly = s.spec.Expected && (err == nil || errors.As(err, &exit) && !exit.Signaled())
	orderly := s.orderly
	s.mu.Unlock()
	if orderly {
		if s.spec.Probe != nil || s.spec.ReadyText != "" {
			s.set(StateWaiting)
			return probeWaiting
		}
		s.set(StateRestarting)
		return expectedRespawn
	}
	s.mu.Lock()
	if uptime >= stableAfter {
		s.failures = 0
	}
	s.failures++
	k := s.failures - 1
	delay := serviceBackoff.Delay(k)
	s.delayed = serviceBackoff.facts(s.spec.Name, k, delay)
	s.mu.Unlock()
	s.logger.Warn("service ended", "service", s.spec.Name, "reason", s.Status().LastExit, "restart_in", delay.Round(time.Millisecond))
	if k+1 >= failingAfter {
		s.set(StateFailing)
	} else {
		s.set(StateRestarting)
	}
	return delay
}

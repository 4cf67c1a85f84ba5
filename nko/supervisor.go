package nko

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/thejerf/suture/v4"

	"github.com/entroos/entroos/morphzip/store"
	"github.com/entroos/entroos/runtime/rate"
)

// Supervisor runs the box's services, each in a supervision tree of its own,
// so that none takes another along. They stop in the reverse order of Add.
type Supervisor struct {
	root   *suture.Supervisor
	reaper *Reaper
	tree   CgroupTree
	logger *slog.Logger

	mu       sync.Mutex
	services []*Service // in order of Add
	tokens   map[*Service]suture.ServiceToken
	stopping bool
	logs     *store.Store // nil until KeepLogs
	mark     string
	marked   map[string]bool // the services whose log has the mark
}

// stopTimeout bounds the stop of one service, its grace included.
const stopTimeout = 20 * time.Second

// NewSupervisor makes a Supervisor without services. A tree without a root
// leaves processes in the cgroup of their parent.
func NewSupervisor(reaper *Reaper, tree CgroupTree, logger *slog.Logger) *Supervisor {
	return &Supervisor{
		root: suture.New("entroos", suture.Spec{
			EventHook: func(e suture.Event) { logger.Error("supervisor", "event", e.String()) },
			// The branches back off by themselves; the root never pauses.
			FailureThreshold: math.Inf(1),
			Timeout:          stopTimeout,
		}),
		reaper: reaper,
		tree:   tree,
		logger: logger,
		tokens: make(map[*Service]suture.ServiceToken),
	}
}

// Serve runs the services until ctx ends.
func (s *Supervisor) Serve(ctx context.Context) error { return s.root.Serve(ctx) }

// Add starts a service, now or when Serve is called.
func (s *Supervisor) Add(spec ServiceSpec) (*Service, error) {
	if (spec.Process == nil) == (spec.Run == nil) {
		return nil, fmt.Errorf("service %s: needs a process or a function, and not both", spec.Name)
	}
	service := &Service{
		spec: spec, reaper: s.reaper, tree: s.tree, logger: s.logger,
		log: NewLogRing(), bucket: rate.NewBucket(serviceLogRate, serviceLogBurst), probe: make(chan struct{}, 1), state: StateStarting,
		started: time.Now(), changed: make(chan struct{}),
	}
	branch := suture.New(spec.Name, suture.Spec{
		FailureThreshold:         math.Inf(1),
		Timeout:                  stopTimeout,
		DontPropagateTermination: true,
	})
	branch.Add(service)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, fmt.Errorf("service %s: the box is stopping", spec.Name)
	}
	if slices.ContainsFunc(s.services, func(o *Service) bool { return o.spec.Name == spec.Name }) {
		return nil, fmt.Errorf("service %s exists already", spec.Name)
	}
	s.services = append(s.services, service)
	if s.logs != nil {
		s.keepLog(service)
	}
	s.tokens[service] = s.root.Add(branch)
	return service, nil
}

// KeepLogs has the logs of the services, those of now and those to come, kept in
// a store; mark stands in a log before the first line of this boot.
func (s *Supervisor) KeepLogs(logs *store.Store, mark string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs, s.mark, s.marked = logs, mark, make(map[string]bool)
	for _, service := range s.services {
		s.keepLog(service)
	}
}

// keepLog has a service's log kept. s.mu is held.
func (s *Supervisor) keepLog(service *Service) {
	name, mark := service.spec.Name, s.mark
	if s.marked[name] {
		mark = "" // it was removed, and has come again
	}
	s.marked[name] = true
	service.log.Keep(s.logs, ServiceStream(name), mark, func(err error) {
		s.logger.Warn("the log of a service is in memory only", "service", name, "error", err)
	})
}

// CloseLogs ends the logs of the services, and waits until they are on disk.
func (s *Supervisor) CloseLogs(ctx context.Context) error {
	services := s.Services()
	for _, service := range services {
		service.log.Close()
	}
	var failed []error
	for _, service := range services {
		failed = append(failed, service.log.Kept(ctx))
	}
	return errors.Join(failed...)
}

// Remove stops a service and forgets it; its name is free again.
func (s *Supervisor) Remove(name string) error {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return fmt.Errorf("service %s: the box is stopping", name)
	}
	i := slices.IndexFunc(s.services, func(o *Service) bool { return o.spec.Name == name })
	if i < 0 {
		s.mu.Unlock()
		return fmt.Errorf("there is no service %s", name)
	}
	service := s.services[i]
	token := s.tokens[service]
	s.mu.Unlock()
	if err := s.root.RemoveAndWait(token, stopTimeout); err != nil {
		return fmt.Errorf("service %s did not stop: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	service.log.Close()
	s.services = slices.DeleteFunc(s.services, func(o *Service) bool { return o == service })
	delete(s.tokens, service)
	return nil
}

// Services gives the services in order of their start.
func (s *Supervisor) Services() []*Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.services)
}

// Service gives the service of that name, or nil.
func (s *Supervisor) Service(name string) *Service {
	for _, service := range s.Services() {
		if service.spec.Name == name {
			return service
		}
	}
	return nil
}

// Unhealthy gives the services with which something is wrong, in order. Their
// memory is not told: this is asked often.
func (s *Supervisor) Unhealthy() []ServiceStatus {
	var sick []ServiceStatus
	for _, service := range s.Services() {
		service.mu.Lock()
		st := service.standing()
		service.mu.Unlock()
		if !st.State.Healthy() {
			sick = append(sick, st)
		}
	}
	return sick
}

// ProbeAll asks for a look at every service's health now.
func (s *Supervisor) ProbeAll() {
	for _, service := range s.Services() {
		service.Probe()
	}
}

// Alive returns nil when the root of the tree answers before ctx ends.
func (s *Supervisor) Alive(ctx context.Context) error {
	answered := make(chan struct{})
	Go("supervisor alive", func() {
		s.root.Services()
		close(answered)
	})
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the supervisor does not answer: %w", ctx.Err())
	}
}

// Stop stops the services, the last one started first. Each gets SIGTERM, its
// grace, and then SIGKILL.
func (s *Supervisor) Stop() {
	s.mu.Lock()
	s.stopping = true
	services := slices.Clone(s.services)
	s.mu.Unlock()
	for _, service := range slices.Backward(services) {
		s.mu.Lock()
		token := s.tokens[service]
		s.mu.Unlock()
		if err := s.root.RemoveAndWait(token, stopTimeout); err != nil {
			s.logger.Error("service did not stop", "service", service.spec.Name, "error", err)
		}
	}
}

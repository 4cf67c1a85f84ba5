package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/entroos/entroos/appliance/config"
	"github.com/entroos/entroos/nko"
)

const ntpService = "ntp"

// follower makes services what the settings say, while the box runs.
type follower struct {
	box      *Box
	servers  []string                  // of time
	services map[string]config.Service // that run, by name

	mu       sync.Mutex
	problems []string
}

// StartFollowing starts the services of which the settings say what they are,
// and starts them anew when the settings change.
func (b *Box) StartFollowing() error {
	f := &follower{box: b, servers: b.Config().Time.Servers, services: make(map[string]config.Service)}
	err := b.startTime(f.servers)
	// They are among the services before anyone asks whether all are up.
	f.follow(b.Config())
	b.mu.Lock()
	b.follower = f
	b.mu.Unlock()
	_, aerr := b.Supervisor.Add(nko.ServiceSpec{Name: "settings", Run: f.Serve})
	return errors.Join(err, aerr)
}

// Serve follows the settings until ctx ends.
func (f *follower) Serve(ctx context.Context) error {
	for {
		holds, changed := f.box.Settings.Watch()
		f.follow(holds)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// Problems says which of the settings could not be followed.
func (f *follower) Problems() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.problems)
}

func (f *follower) follow(c *config.Config) {
	var problems []string
	note := func(err error) {
		if err != nil {
			problems = append(problems, err.Error())
			f.box.Logger.Error("settings", "problem", err)
		}
	}
	note(f.followTime(c.Time.Servers))
	for name, have := range f.services {
		if !slices.ContainsFunc(c.Services, func(s config.Service) bool { return reflect.DeepEqual(s, have) }) {
			if err := f.box.Supervisor.Remove(name); err != nil {
				note(err)
				continue
			}
			delete(f.services, name)
		}
	}
	for _, s := range c.Services {
		if _, runs := f.services[s.Name]; runs {
			continue
		}
		if missing(s) {
			note(fmt.Errorf("service %s: its program is not in this image; build one with `image build --config`, or take the service away with `config set services`", s.Name))
			continue
		}
		if err := f.box.startProgram(s); err != nil {
			note(err)
			continue
		}
		f.services[s.Name] = s
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problems = problems
}

func (f *follower) followTime(servers []string) error {
	if slices.Equal(servers, f.servers) {
		return nil
	}
	if f.box.Supervisor.Service(ntpService) != nil {
		if err := f.box.Supervisor.Remove(ntpService); err != nil {
			return err
		}
	}
	if err := f.box.startTime(servers); err != nil {
		return err
	}
	f.servers = servers
	return nil
}

// programPath is where the image's build puts a service's program.
func programPath(s config.Service) string { return "/user/" + s.Name }

// missing says that a service's program is not in this image.
func missing(s config.Service) bool {
	info, err := os.Stat(programPath(s))
	return err != nil || info.IsDir()
}

// startProgram runs a service as gokrazy would: it has ended for good when it
// ends with success.
func (b *Box) startProgram(s config.Service) error {
	spec := nko.ServiceSpec{
		Name: s.Name,
		Process: &nko.ProcessSpec{
			Path: programPath(s), Args: s.Args, Env: s.Env, Home: homePath, StopOnSuccess: true,
		},
	}
	if s.WaitForClock {
		spec.Await = b.clockSet
	}
	_, err := b.Supervisor.Add(spec)
	return err
}

// clockSet waits until the NTP client has set the clock.
func (b *Box) clockSet(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		// It is another service when the servers have changed.
		if s := b.Supervisor.Service(ntpService); s != nil && s.Status().State == nko.StateRunning {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

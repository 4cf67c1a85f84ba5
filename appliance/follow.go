package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	programs string                    // the folder of the services' programs
	home     string                    // and that of their homes
	servers  []string                  // of time
	services map[string]config.Service // that run, by name

	mu       sync.Mutex
	problems []string
}

// StartFollowing starts the services of which the settings say what they are,
// and starts them anew when the settings change.
func (b *Box) StartFollowing() error {
	f := &follower{box: b, programs: programsPath, home: homePath, servers: b.Config().Time.Servers, services: make(map[string]config.Service)}
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
	note(f.box.followTarget(c))
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
		if missing(f.programs, s) {
			note(fmt.Errorf("service %s: its program is not in this image; build one with `image build --config`, or take the service away with `config set services`", s.Name))
			continue
		}
		if err := f.start(s); err != nil {
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

// programsPath is where the image's build puts the services' programs.
const programsPath = "/user"

// missing says that a service's program is not in this image.
func missing(programs string, s config.Service) bool {
	info, err := os.Stat(filepath.Join(programs, s.Name))
	return err != nil || info.IsDir()
}

// start runs a service as gokrazy would: it has ended for good when it ends
// with success.
func (f *follower) start(s config.Service) error {
	spec := nko.ServiceSpec{
		Name: s.Name,
		Process: &nko.ProcessSpec{
			Path: filepath.Join(f.programs, s.Name), Args: s.Args, Env: s.Env, Home: f.home, StopOnSuccess: true,
		},
		FromSettings: true,
	}
	if s.WaitForClock {
		spec.Await = f.box.clockSet
	}
	_, err := f.box.Supervisor.Add(spec)
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

package appliance

import (
	"context"
	"slices"

	"github.com/entroos/entroos/appliance/config"
	"github.com/entroos/entroos/nko"
)

const ntpService = "ntp"

// follower makes services what the settings say, while the box runs.
type follower struct {
	box     *Box
	servers []string // of time
}

// StartFollowing starts the services of which the settings say what they are,
// and starts them anew when the settings change.
func (b *Box) StartFollowing() error {
	f := &follower{box: b, servers: b.Config().Time.Servers}
	if err := b.startTime(f.servers); err != nil {
		return err
	}
	_, err := b.Supervisor.Add(nko.ServiceSpec{Name: "settings", Run: f.Serve})
	return err
}

// Serve follows the settings until ctx ends.
func (f *follower) Serve(ctx context.Context) error {
	for {
		holds, changed := f.box.Settings.Watch()
		if err := f.follow(holds); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (f *follower) follow(c *config.Config) error {
	if !slices.Equal(c.Time.Servers, f.servers) {
		if f.box.Supervisor.Service(ntpService) != nil {
			if err := f.box.Supervisor.Remove(ntpService); err != nil {
				return err
			}
		}
		if err := f.box.startTime(c.Time.Servers); err != nil {
			return err
		}
		f.servers = c.Time.Servers
	}
	return nil
}

package appliance

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"strconv"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/config"
	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/nko/governor"
)

// StartGovernor starts the CPU governor. It follows the settings' target.
func (b *Box) StartGovernor() error {
	target, terr := b.target(b.Config())
	g, err := governor.New(governor.Config{
		Cgroup: cgroupRoot, Proc: "/proc", Sys: "/sys", CPUs: goruntime.NumCPU(), Target: target,
		Containers: b.Workloads.Governed, Making: b.Workloads.Making, Logger: b.Logger,
	})
	if err != nil {
		return errors.Join(terr, err)
	}
	b.Governor = g
	b.Workloads.OnChange(g.Wake)
	_, err = b.Supervisor.Add(nko.ServiceSpec{Name: "governor", Run: g.Serve})
	return errors.Join(terr, err)
}

// target is the utilisation to aim at: the settings', unless the machine's owner
// has given another one.
func (b *Box) target(c *config.Config) (float64, error) {
	text := b.Options.ResourcesTarget()
	if text == "" {
		return c.Resources.Target, nil
	}
	t, err := strconv.ParseFloat(text, 64)
	if err != nil || !(t > 0 && t <= governor.Ungoverned) {
		return c.Resources.Target, fmt.Errorf("the SMBIOS string entroos.resources.target=%.20q is no fraction above 0 and up to 1", text)
	}
	return t, nil
}

// followTarget makes the settings' target hold.
func (b *Box) followTarget(c *config.Config) error {
	if b.Governor == nil {
		return nil
	}
	target, err := b.target(c)
	return errors.Join(err, b.Governor.SetTarget(target))
}

// resources is what the governor tells; nil without one.
func (b *Box) resources() *entroosv1.Resources {
	if b.Governor == nil {
		return nil
	}
	s := b.Governor.Status()
	r := &entroosv1.Resources{
		Target: s.Target, Quota: s.Quota, ThrottleRatio: s.ThrottleRatio, MemoryPressure: s.MemoryPressure, Brake: s.Brake, Watts: s.Watts,
	}
	if s.Measured {
		r.Utilisation = &s.Utilisation
	}
	return r
}

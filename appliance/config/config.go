// Package config reads appliance.yaml, the settings of a box: strictly, with
// the line and the column of what is wrong.
package config

import (
	"fmt"

	"github.com/goccy/go-yaml"
)

// Config is an appliance.yaml. A key that is not written is the zero value of
// its field; an empty list that is written is not nil.
type Config struct {
	Hostname  string    `yaml:"hostname,omitzero"`
	Network   Network   `yaml:"network,omitzero"`
	Time      Time      `yaml:"time,omitzero"`
	Console   Console   `yaml:"console,omitzero"`
	SSH       SSH       `yaml:"ssh,omitzero"`
	Resources Resources `yaml:"resources,omitzero"`
	// Labels of the box, for the constraints of workloads.
	Labels map[string]string `yaml:"labels,omitzero"`
	// Services are gokrazy programs beside the box's own.
	Services []Service `yaml:"services,omitzero"`
	// Workloads are the containers started at boot.
	Workloads []Workload `yaml:"workloads,omitzero"`
	// Images are the OCI archives that the image's build puts into it: *.tar,
	// relative to the folder of appliance.yaml.
	Images []string `yaml:"images,omitzero"`
}

// Network is how the box reaches others. An interface that is not named takes
// its address by DHCP.
type Network struct {
	Interfaces map[string]Interface `yaml:"interfaces,omitzero"`
	// DNS servers' IP addresses; with any, those that DHCP offers are not used.
	DNS []string `yaml:"dns,omitzero"`
}

// Interface is one wired interface, e.g. eth0.
type Interface struct {
	// DHCP is, when not written, whether there are no Addresses.
	DHCP *bool `yaml:"dhcp,omitzero"`
	// Addresses with the length of their network's prefix, e.g. 192.168.1.7/24.
	Addresses []string `yaml:"addresses,omitzero"`
	// Gateway to everywhere else: an IP address in the network of one of Addresses.
	Gateway string `yaml:"gateway,omitzero"`
}

// UsesDHCP says whether the interface takes its address by DHCP.
func (i Interface) UsesDHCP() bool {
	if i.DHCP != nil {
		return *i.DHCP
	}
	return len(i.Addresses) == 0
}

// Time is where the clock comes from.
type Time struct {
	// Servers of NTP, names or IP addresses; without any gokrazy's pool is asked.
	Servers []string `yaml:"servers,omitzero"`
}

// Console is the console on screen and serial port.
type Console struct {
	// Password as a bcrypt hash; empty is none.
	Password string `yaml:"password,omitzero"`
}

// SSH is the remote administration. Without a key there is none.
type SSH struct {
	// AuthorizedKeys, each a line as in OpenSSH's authorized_keys, without options.
	AuthorizedKeys []string `yaml:"authorized_keys,omitzero"`
	Port           int      `yaml:"port,omitzero"`
}

// Resources is what the workloads may use of the box.
type Resources struct {
	// Target is the utilisation to aim at, a fraction of the box's CPU in (0, 1].
	Target float64 `yaml:"target,omitzero"`
}

// Service is a program for gokrazy: it is built into the image, and run as
// gokrazy would run it.
type Service struct {
	// Name of the service and its program, /user/<name>. When not written it is
	// the last element of Package that is no major version.
	Name string `yaml:"name,omitzero"`
	// Package is the import path of a Go command; or its module's folder, as
	// ./name, relative to the folder of appliance.yaml.
	Package string `yaml:"package,omitzero"`
	// Version of Package's module, as for `go get`; empty is the latest.
	Version      string   `yaml:"version,omitzero"`
	Args         []string `yaml:"args,omitzero"`
	Env          []string `yaml:"env,omitzero"` // KEY=value
	WaitForClock bool     `yaml:"wait_for_clock,omitzero"`
}

// Workload is a container started at boot. Its keys are the flags of `run`.
type Workload struct {
	Name        string   `yaml:"name,omitzero"`
	Image       string   `yaml:"image,omitzero"`
	Entrypoint  []string `yaml:"entrypoint,omitzero"`
	Args        []string `yaml:"args,omitzero"`
	Env         []string `yaml:"env,omitzero"` // KEY=value
	Workdir     string   `yaml:"workdir,omitzero"`
	User        string   `yaml:"user,omitzero"`
	Hostname    string   `yaml:"hostname,omitzero"`
	Network     string   `yaml:"network,omitzero"` // bridge, host or none
	Ports       []string `yaml:"ports,omitzero"`   // [IP:]HOST:CONTAINER[/udp]
	Volumes     []string `yaml:"volumes,omitzero"` // SOURCE:TARGET[:ro]
	Restart     string   `yaml:"restart,omitzero"` // as `run --restart`; always when not written
	Memory      string   `yaml:"memory,omitzero"`  // e.g. 64m
	CPUs        float64  `yaml:"cpus,omitzero"`    // cores
	PIDs        int      `yaml:"pids,omitzero"`
	ReadOnly    bool     `yaml:"read_only,omitzero"`
	Tty         bool     `yaml:"tty,omitzero"`
	CapAdd      []string `yaml:"cap_add,omitzero"`
	CapDrop     []string `yaml:"cap_drop,omitzero"`
	StopSignal  string   `yaml:"stop_signal,omitzero"`
	StopTimeout int      `yaml:"stop_timeout,omitzero"` // seconds

	// What placement counts on.
	CPURequest        float64  `yaml:"cpu_request,omitzero"`        // cores
	CPUShares         int      `yaml:"cpu_shares,omitzero"`         // docker's, 1024 by default
	MemoryReservation string   `yaml:"memory_reservation,omitzero"` // e.g. 32m
	Constraints       []string `yaml:"constraints,omitzero"`        // docker swarm's
}

// Default is what holds for a box of which no file says otherwise.
func Default() *Config {
	return &Config{Hostname: "entroos", SSH: SSH{Port: 22}, Resources: Resources{Target: 0.2}}
}

// Parse reads a box's own file alone, without defaults. What it leaves to the
// built-in one, Merge checks. name stands in the errors, which are *Error, all
// of them joined.
func Parse(name string, text []byte) (*Config, error) {
	return parseAlone(name, text, true)
}

// ParseBuiltIn is Parse for a built-in file, which leaves nothing to another.
func ParseBuiltIn(name string, text []byte) (*Config, error) {
	return parseAlone(name, text, false)
}

func parseAlone(name string, text []byte, alone bool) (*Config, error) {
	c := new(Config)
	d := &decoder{config: c, alone: alone}
	if err := d.read(name, text); err != nil {
		return nil, err
	}
	return c, d.validate()
}

// Names of the two files in the errors of Merge.
const (
	BuiltInName = "built-in appliance.yaml"
	OwnName     = "appliance.yaml"
)

// Merge gives what holds for a box: its own file over the built-in one over
// the defaults, key by key. A key of own takes the place of the same key of
// builtIn; maps are merged, so that network.interfaces.eth0 leaves eth1 as it
// was; lists take each other's place as a whole. Where own asks for DHCP it
// takes builtIn's addresses and gateway away, and where it has addresses,
// builtIn's DHCP. Either text may be empty.
func Merge(builtIn, own []byte) (*Config, error) {
	c := Default()
	d := &decoder{config: c}
	if err := d.read(BuiltInName, builtIn); err != nil {
		return nil, err
	}
	if err := d.validate(); err != nil {
		return nil, err
	}
	if err := d.read(OwnName, own); err != nil {
		return nil, err
	}
	above := &decoder{config: new(Config)}
	if err := above.read(OwnName, own); err != nil {
		return nil, err
	}
	for name, i := range above.config.Network.Interfaces {
		c.Network.Interfaces[name] = i.over(c.Network.Interfaces[name])
	}
	return c, d.validate()
}

// over takes from merged, i over another, what of the other excludes i.
func (i Interface) over(merged Interface) Interface {
	switch {
	case i.DHCP != nil && *i.DHCP:
		merged.Addresses = i.Addresses
	case i.DHCP == nil && len(i.Addresses) > 0:
		merged.DHCP = nil
	}
	if merged.UsesDHCP() {
		merged.Gateway = i.Gateway
	}
	return merged
}

// Marshal gives the file that Parse reads as c.
func (c *Config) Marshal() ([]byte, error) {
	text, err := yaml.MarshalWithOptions(c, yaml.Indent(2), yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("appliance.yaml: %w", err)
	}
	return text, nil
}

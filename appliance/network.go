package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/appliance/config"
	"github.com/entroos/entroos/nko"
)

// Network gives the box its name, addresses and name servers, as its settings
// have it: a DHCP client for each wired interface, those plugged in later
// included, but for those with addresses of their own.
type Network struct {
	supervisor *nko.Supervisor
	settings   *Settings
	logger     *slog.Logger
	resolv     string // the file of name servers

	hostname string
	dns      []string
	order    map[string]int     // of the interfaces, as they came
	applied  map[string]applied // by interface
}

// applied is what an interface was given.
type applied struct {
	settings config.Interface
	index    int // of the static interface, which may be plugged in anew
}

// NewNetwork makes a Network whose DHCP clients are services of the supervisor.
func NewNetwork(supervisor *nko.Supervisor, settings *Settings, logger *slog.Logger) *Network {
	return &Network{
		supervisor: supervisor, settings: settings, logger: logger, resolv: resolvPath,
		order: make(map[string]int), applied: make(map[string]applied),
	}
}

// Serve follows the interfaces and the settings until ctx ends.
func (n *Network) Serve(ctx context.Context) error {
	updates := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribe(updates, ctx.Done()); err != nil {
		return fmt.Errorf("network interfaces: %w", err)
	}
	for {
		holds, changed := n.settings.Watch()
		if err := n.follow(holds); err != nil {
			return err
		}
		if err := await(ctx, updates, changed); err != nil {
			return err
		}
	}
}

// await returns nil when an interface has come or changed, or the settings have.
func await(ctx context.Context, updates <-chan netlink.LinkUpdate, changed <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			return nil
		case u, ok := <-updates:
			if !ok {
				return errors.New("network interfaces: the kernel's messages ended")
			}
			if u.Header.Type == unix.RTM_NEWLINK {
				return nil
			}
		}
	}
}

// follow makes the network what the settings say. What fails leaves the rest
// as it should be.
func (n *Network) follow(c *config.Config) error {
	var failed []error
	if c.Hostname != n.hostname {
		if err := SetHostname(c.Hostname); err != nil {
			failed = append(failed, err)
		} else {
			n.hostname = c.Hostname
			n.askAgain()
		}
	}
	if !slices.Equal(c.Network.DNS, n.dns) {
		if err := writeResolv(n.resolv, c.Network.DNS); err != nil {
			failed = append(failed, err)
		} else {
			n.dns = c.Network.DNS
			n.askAgain()
		}
	}
	names, err := wiredInterfaces("/sys/class/net")
	if err != nil {
		return errors.Join(append(failed, err)...)
	}
	for _, name := range names {
		if err := n.configure(name, c.Network.Interfaces[name]); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// askAgain has the DHCP clients begin anew: they read the host's name once, and
// write the name servers with each lease.
func (n *Network) askAgain() {
	for name, have := range n.applied {
		if s := n.supervisor.Service(dhcpService(name)); s != nil && have.settings.UsesDHCP() {
			_ = s.Signal(unix.SIGTERM) // one that has no process begins anew by itself
		}
	}
}

// configure makes an interface what the settings say.
func (n *Network) configure(name string, want config.Interface) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil // it was unplugged just now
	} else if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	have, known := n.applied[name]
	if known && reflect.DeepEqual(have.settings, want) && (want.UsesDHCP() || have.index == link.Attrs().Index) {
		return nil
	}
	if _, seen := n.order[name]; !seen {
		n.order[name] = len(n.order)
	}
	if want.UsesDHCP() && known && have.settings.UsesDHCP() {
		return nil // written or not, it is the same
	}
	if n.supervisor.Service(dhcpService(name)) != nil {
		if err := n.supervisor.Remove(dhcpService(name)); err != nil {
			return err
		}
	}
	if want.UsesDHCP() {
		if known {
			err = giveAddresses(link, config.Interface{}, 0)
		}
		err = errors.Join(err, n.client(name))
	} else {
		// Of several default routes the first interface's is taken, as with DHCP.
		err = giveAddresses(link, want, 1+n.order[name])
	}
	if err != nil {
		return err
	}
	n.applied[name] = applied{want, link.Attrs().Index}
	n.logger.Info("interface", "name", name, "dhcp", want.UsesDHCP(), "addresses", want.Addresses)
	return nil
}

func dhcpService(name string) string { return "dhcp-" + name }

// client starts a DHCP client.
func (n *Network) client(name string) error {
	_, err := n.supervisor.Add(nko.ServiceSpec{
		Name: dhcpService(name),
		Process: &nko.ProcessSpec{
			Path: "/gokrazy/dhcp",
			Args: []string{
				"-interface=" + name,
				// Of several default routes the first interface's is taken.
				"-extra_route_priority=" + strconv.Itoa(n.order[name]),
			},
			Dir: "/", // it starts before its home's disk is there, and needs none
		},
		// It ends when it hears of no server, and tries again.
		Expected: true,
		Probe:    func(context.Context) error { return hasAddress(name) },
	})
	return err
}

// hasAddress wraps nko.ErrWaiting until the interface has an IPv4 address.
func hasAddress(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%w for the interface: %w", nko.ErrWaiting, err)
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", name, err)
	}
	if !slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.Scope == unix.RT_SCOPE_UNIVERSE }) {
		return fmt.Errorf("%w for an address", nko.ErrWaiting)
	}
	return nil
}

// wiredInterfaces names the Ethernet interfaces that are devices: no bridges,
// no virtual pairs, no wireless ones.
func wiredInterfaces(class string) ([]string, error) {
	entries, err := os.ReadDir(class)
	if err != nil {
		return nil, fmt.Errorf("network interfaces: %w", err)
	}
	var wired []string
	for _, e := range entries {
		path := filepath.Join(class, e.Name())
		kind, err := readInt(filepath.Join(path, "type"))
		if err != nil || kind != unix.ARPHRD_ETHER {
			continue // it may be gone already
		}
		_, device := os.Stat(filepath.Join(path, "device"))
		_, wireless := os.Stat(filepath.Join(path, "phy80211"))
		if device == nil && errors.Is(wireless, fs.ErrNotExist) {
			wired = append(wired, e.Name())
		}
	}
	// eth2 before eth10.
	slices.SortFunc(wired, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return wired, nil
}

// Addresses gives the box's own addresses, without those of containers'
// bridges and the loopback, e.g. "192.168.1.7/24".
func Addresses() ([]string, error) {
	names, err := wiredInterfaces("/sys/class/net")
	if err != nil {
		return nil, err
	}
	var all []string
	for _, name := range names {
		link, err := netlink.LinkByName(name)
		if err != nil {
			continue // unplugged just now
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", name, err)
		}
		for _, a := range addrs {
			if a.Scope == unix.RT_SCOPE_UNIVERSE {
				all = append(all, a.IPNet.String())
			}
		}
	}
	return all, nil
}

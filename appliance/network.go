package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/nko"
)

// Network runs a DHCP client for each wired interface, those plugged in later
// included.
type Network struct {
	supervisor *nko.Supervisor
	logger     *slog.Logger
	clients    map[string]bool // by interface
}

// NewNetwork makes a Network whose clients are services of the supervisor.
func NewNetwork(supervisor *nko.Supervisor, logger *slog.Logger) *Network {
	return &Network{supervisor: supervisor, logger: logger, clients: make(map[string]bool)}
}

// Start starts a client for each wired interface there is.
func (n *Network) Start() error {
	names, err := wiredInterfaces("/sys/class/net")
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range names {
		failed = append(failed, n.client(name))
	}
	return errors.Join(failed...)
}

// Serve starts clients for the interfaces that appear until ctx ends.
func (n *Network) Serve(ctx context.Context) error {
	updates := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribe(updates, ctx.Done()); err != nil {
		return fmt.Errorf("network interfaces: %w", err)
	}
	if err := n.Start(); err != nil { // what came before we subscribed
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u, ok := <-updates:
			if !ok {
				return errors.New("network interfaces: the kernel's messages ended")
			}
			if u.Header.Type == unix.RTM_NEWLINK && !n.clients[u.Attrs().Name] {
				if err := n.Start(); err != nil {
					return err
				}
			}
		}
	}
}

func (n *Network) client(name string) error {
	if n.clients[name] {
		return nil
	}
	_, err := n.supervisor.Add(nko.ServiceSpec{
		Name: "dhcp-" + name,
		Process: &nko.ProcessSpec{
			Path: "/gokrazy/dhcp",
			Args: []string{
				"-interface=" + name,
				// Of several default routes the first interface's is taken.
				"-extra_route_priority=" + strconv.Itoa(len(n.clients)),
			},
			Dir: "/", // it starts before its home's disk is there, and needs none
		},
		// It ends when it hears of no server, and tries again.
		Expected: true,
		Probe:    func(context.Context) error { return hasAddress(name) },
	})
	if err != nil {
		return err
	}
	n.clients[name] = true
	return nil
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

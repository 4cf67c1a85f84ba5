// Package network connects containers: a bridge with the box's address on it,
// a virtual cable from there into each container's network namespace, outbound
// address translation, and published ports.
package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	// BridgeName is the bridge's interface on the box.
	BridgeName = "entroos0"
	linkPrefix = "entroos-c" // and the container's slot
	innerName  = "eth0"

	// MaxSlots is how many containers can have an address.
	MaxSlots = 1<<16 - 3
)

var (
	subnet  = netip.MustParsePrefix("172.29.0.0/16")
	gateway = netip.MustParseAddr("172.29.0.1")
)

// Gateway is the box's address as containers see it.
func Gateway() netip.Addr { return gateway }

// Address is the one of the container in a slot, from 0 up to MaxSlots-1.
func Address(slot int) netip.Addr {
	n := slot + 2 // .0.0 is the network, .0.1 the box
	a := subnet.Addr().As4()
	a[2], a[3] = byte(n>>8), byte(n)
	return netip.AddrFrom4(a)
}

// Network is the bridge network of the box. There is one of it in a network
// namespace. Its methods may be called concurrently.
type Network struct {
	mu        sync.Mutex
	prepared  bool
	bridge    int // interface index
	published map[string]publication
}

// New makes a Network. Nothing is done to the box before the first container
// needs it.
func New() *Network { return &Network{published: make(map[string]publication)} }

// Recover removes what an earlier life has left.
func (n *Network) Recover() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.prepared = false
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, linkPrefix) {
			if err := netlink.LinkDel(l); err != nil {
				return fmt.Errorf("remove interface %s: %w", l.Attrs().Name, err)
			}
		}
	}
	return removeTables()
}

// prepare sets up bridge and address translation, once. Callers hold mu.
func (n *Network) prepare() error {
	if n.prepared {
		return nil
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = BridgeName
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make bridge %s: %w", BridgeName, err)
	}
	bridge, err := netlink.LinkByName(BridgeName)
	if err != nil {
		return fmt.Errorf("bridge %s: %w", BridgeName, err)
	}
	if err := netlink.AddrReplace(bridge, &netlink.Addr{IPNet: ipNet(gateway)}); err != nil {
		return fmt.Errorf("bridge %s: address: %w", BridgeName, err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("bridge %s: %w", BridgeName, err)
	}
	if err := setSysctls(); err != nil {
		return err
	}
	if err := n.writeTable(); err != nil {
		return err
	}
	n.bridge = bridge.Attrs().Index
	n.prepared = true
	return nil
}

func setSysctls() error {
	for _, s := range []struct {
		name, value string
		optional    bool
	}{
		{"net/ipv4/ip_forward", "1", false},
		// The box reaches published ports at 127.0.0.1, too; others are kept
		// from doing so by the table's guard chain.
		{"net/ipv4/conf/" + BridgeName + "/route_localnet", "1", false},
		// Frames between two containers are no business of the IP tables. The
		// file is missing in kernels without br_netfilter.
		{"net/bridge/bridge-nf-call-iptables", "0", true},
	} {
		err := os.WriteFile("/proc/sys/"+s.name, []byte(s.value), 0)
		if err != nil && !(s.optional && errors.Is(err, os.ErrNotExist)) {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
	}
	return nil
}

// Attach connects the container in slot: its namespace gets an interface with
// the slot's address and a default route.
func (n *Network) Attach(slot int, namespace *os.File) error {
	n.mu.Lock()
	err := n.prepare()
	bridge := n.bridge
	n.mu.Unlock()
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = linkName(slot)
	attrs.MasterIndex = bridge
	address := Address(slot)
	cable := &netlink.Veth{
		LinkAttrs: attrs, PeerName: innerName, PeerHardwareAddr: hardwareAddress(address),
		PeerNamespace: netlink.NsFd(namespace.Fd()),
	}
	if err := netlink.LinkAdd(cable); err != nil {
		return fmt.Errorf("make interface %s: %w", attrs.Name, err)
	}
	if err := finishAttach(cable, namespace, address); err != nil {
		return errors.Join(err, netlink.LinkDel(cable))
	}
	return nil
}

func finishAttach(outer netlink.Link, namespace *os.File, address netip.Addr) error {
	if err := netlink.LinkSetUp(outer); err != nil {
		return fmt.Errorf("interface %s: %w", outer.Attrs().Name, err)
	}
	h, err := netlink.NewHandleAt(netns.NsHandle(namespace.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("the container's network namespace: %w", err)
	}
	defer h.Close()
	inner, err := h.LinkByName(innerName)
	if err != nil {
		return fmt.Errorf("the container's interface: %w", err)
	}
	if err := h.AddrAdd(inner, &netlink.Addr{IPNet: ipNet(address)}); err != nil {
		return fmt.Errorf("the container's address: %w", err)
	}
	if err := h.LinkSetUp(inner); err != nil {
		return fmt.Errorf("the container's interface: %w", err)
	}
	route := &netlink.Route{LinkIndex: inner.Attrs().Index, Gw: net.IP(gateway.AsSlice())}
	if err := h.RouteAdd(route); err != nil {
		return fmt.Errorf("the container's route: %w", err)
	}
	return nil
}

// Detach removes the interface of the container in slot, if it is still there:
// it goes by itself a while after the container's namespace has gone.
func (n *Network) Detach(slot int) error {
	link, err := netlink.LinkByName(linkName(slot))
	if err == nil {
		err = netlink.LinkDel(link)
	}
	var missing netlink.LinkNotFoundError
	if err == nil || errors.As(err, &missing) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return fmt.Errorf("remove interface %s: %w", linkName(slot), err)
}

func linkName(slot int) string { return fmt.Sprintf("%s%d", linkPrefix, slot) }

func ipNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: net.IP(a.AsSlice()), Mask: net.CIDRMask(subnet.Bits(), 32)}
}

// hardwareAddress is locally administered, and made from the address, so that
// it is another container's exactly when the address is.
func hardwareAddress(a netip.Addr) net.HardwareAddr {
	return append(net.HardwareAddr{0x02, 0x45}, a.AsSlice()...)
}

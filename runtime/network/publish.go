package network

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Port is a container's port published on the box.
type Port struct {
	HostIP        netip.Addr // the zero Addr is all of the box's
	HostPort      uint16
	ContainerPort uint16
	Protocol      string // tcp or udp
}

// publication is what is published for one container.
type publication struct {
	address netip.Addr
	ports   []Port
	// held are sockets on the published ports. Nothing ever arrives at them,
	// since packets are redirected before; they keep other programs, and
	// other containers, from taking the ports.
	held []io.Closer
}

// Publish makes the ports of the container in slot reachable. It fails, and
// publishes none, when one is taken.
func (n *Network) Publish(id string, slot int, ports []Port) (err error) {
	if len(ports) == 0 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.published[id]; ok {
		return fmt.Errorf("ports of container %s are published already", id)
	}
	if err := n.prepare(); err != nil {
		return err
	}
	p := publication{address: Address(slot), ports: ports}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	for _, port := range ports {
		socket, err := hold(port)
		if err != nil {
			return fmt.Errorf("publish port %d/%s: %w", port.HostPort, port.Protocol, err)
		}
		p.held = append(p.held, socket)
	}
	n.published[id] = p
	if err := n.writeTable(); err != nil {
		delete(n.published, id)
		return err
	}
	return p.forgetFlows()
}

// Withdraw takes back what Publish did for the container.
func (n *Network) Withdraw(id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, ok := n.published[id]
	if !ok {
		return nil
	}
	delete(n.published, id)
	return errors.Join(n.writeTable(), p.forgetFlows(), p.close())
}

// forgetFlows has the kernel forget who talked to the UDP ports. It decides
// only at a flow's first packet where it goes, and a flow lasts as long as
// packets come.
func (p *publication) forgetFlows() error {
	for _, port := range p.ports {
		if port.Protocol != "udp" {
			continue
		}
		filter := &netlink.ConntrackFilter{}
		err := errors.Join(filter.AddProtocol(unix.IPPROTO_UDP), filter.AddPort(netlink.ConntrackOrigDstPort, port.HostPort))
		if err == nil {
			_, err = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, netlink.InetFamily(unix.AF_INET), filter)
		}
		if err != nil {
			return fmt.Errorf("forget flows to port %d/udp: %w", port.HostPort, err)
		}
	}
	return nil
}

func (p *publication) close() error {
	var errs []error
	for _, socket := range p.held {
		errs = append(errs, socket.Close())
	}
	return errors.Join(errs...)
}

func hold(p Port) (io.Closer, error) {
	host := ""
	if p.HostIP.IsValid() {
		host = p.HostIP.String()
	}
	address := net.JoinHostPort(host, strconv.Itoa(int(p.HostPort)))
	if p.Protocol == "udp" {
		return net.ListenPacket("udp4", address)
	}
	return net.Listen("tcp4", address)
}

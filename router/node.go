package router

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
)

// A Node is a machine that replicas run on, as it is known to the router.
type Node struct {
	// ID names the node among all others; ties are decided by it.
	ID string
	// Hostname and Labels are what constraints may ask for.
	Hostname string
	Labels   map[string]string
	// CPU is what the node has, in thousandths of a core, and Memory in bytes:
	// the whole of what workloads may use.
	CPU, Memory int64
	// Entropy is E_n (equation 8), in [0,1], 0 where the noise source is
	// unhealthy. Below MinEntropy it counts as 0.
	Entropy float64
	// Cordoned takes the node out of placement; what runs on it stays.
	Cordoned bool
}

// Bounds of what a node can have and a replica ask for: sums of them cannot
// overflow, and each is exact as a float64.
const (
	MaxCPU    = 1 << 40 // millicores
	MaxMemory = 1 << 52 // bytes
)

// MinEntropy is the least entropy that counts. A node below it is unhealthy. A
// container below it (an empty image, or one of a single repeated byte) counts
// as having just that much, so that it comes last but is never shut out.
const MinEntropy = 1.0 / (1 << 20)

// ErrInvalid says that what was asked makes no sense, whatever the cluster's
// state. Nothing was changed.
var ErrInvalid = errors.New("router: invalid")

func (n *Node) validate() error {
	switch {
	case n.ID == "":
		return fmt.Errorf("%w node: it has no id", ErrInvalid)
	case n.CPU <= 0 || n.CPU > MaxCPU:
		return fmt.Errorf("%w node %s: %d millicores of CPU, must lie in [1,%d]", ErrInvalid, n.ID, n.CPU, int64(MaxCPU))
	case n.Memory <= 0 || n.Memory > MaxMemory:
		return fmt.Errorf("%w node %s: %d bytes of memory, must lie in [1,%d]", ErrInvalid, n.ID, n.Memory, int64(MaxMemory))
	case !(0 <= n.Entropy && n.Entropy <= 1):
		return fmt.Errorf("%w node %s: entropy E_n is %v, must lie in [0,1]", ErrInvalid, n.ID, n.Entropy)
	}
	return nil
}

// healthy tells whether the node's noise source is.
func (n *Node) healthy() bool { return n.Entropy >= MinEntropy }

func (n Node) clone() Node {
	n.Labels = maps.Clone(n.Labels)
	return n
}

// A HostPort is a port of the node itself that a replica wants to listen on.
type HostPort struct {
	Protocol string     // "tcp", "udp" or "sctp"
	Address  netip.Addr // the zero Addr and the unspecified ones mean every address
	Port     uint16
}

func (p HostPort) String() string {
	if p.everywhere() {
		return fmt.Sprintf("%d/%s", p.Port, p.Protocol)
	}
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(p.Address, p.Port), p.Protocol)
}

func (p HostPort) everywhere() bool { return !p.Address.IsValid() || p.Address.IsUnspecified() }

// Conflicts tells whether the two cannot be listened on at once.
func (p HostPort) Conflicts(q HostPort) bool {
	return p.Port == q.Port && p.Protocol == q.Protocol &&
		(p.everywhere() || q.everywhere() || p.Address.Unmap() == q.Address.Unmap())
}

func (p HostPort) validate() error {
	switch p.Protocol {
	case "tcp", "udp", "sctp":
	default:
		return fmt.Errorf("protocol %q, must be tcp, udp or sctp", p.Protocol)
	}
	if p.Port == 0 {
		return errors.New("port 0")
	}
	return nil
}

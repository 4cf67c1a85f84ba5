package runtime

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"

	"github.com/entroos/entroos/runtime/network"
	"github.com/entroos/entroos/runtime/oci"
)

// Network modes.
const (
	NetworkBridge = "bridge"
	NetworkHost   = "host"
	NetworkNone   = "none"
)

// Workload is what is run, with nothing left open: a spec over its image's
// configuration over the defaults. It is made by Resolve.
type Workload struct {
	Image       string   // reference, as the spec has it
	ImageDigest [32]byte // SHA-256 of the image's manifest
	// ImageEntropy is E_c, the entropy of the image's bytes. It is measured, and
	// no part of the encoding.
	ImageEntropy oci.Entropy

	Args     []string
	Env      []string // KEY=value
	Cwd      string
	User     User
	Hostname string // empty: the first 12 digits of the container's id

	Mounts   []Mount
	ReadOnly bool // root file system
	Tty      bool
	Stdin    bool

	Capabilities []string // CAP_..., sorted
	Limits       Limits

	Network string
	Ports   []network.Port

	StopSignal         int
	StopTimeoutSeconds uint32
}

// User is who the process runs as, within the container.
type User struct {
	UID, GID uint32
	Groups   []uint32 // supplementary
}

// Mount puts a volume, or a folder below the volumes, into the container.
type Mount struct {
	Source   string // a volume's name, or an absolute path; empty: an anonymous volume that the image asks for
	Target   string // absolute
	ReadOnly bool
}

// Limits bound the container as a whole.
type Limits struct {
	MemoryBytes uint64
	Pids        uint64
	CPUMilli    uint64 // thousandths of a core; 0 is no bound
}

// workloadTag begins an encoding; it names its version.
const workloadTag = "entroos/workload/v1"

// Encode gives the canonical encoding, which is the same for equal workloads
// and another for others. Integers are big-endian; a string is its length in
// bytes (4 bytes) and its bytes; a list is its length (4 bytes) and its
// elements; a truth value is a byte, 0 or 1. In this order:
//
//	string         "entroos/workload/v1"
//	list of string the arguments, the program first
//	list of string the environment, KEY=value
//	string         the working directory
//	4 bytes        user id
//	4 bytes        group id
//	list of 4 bytes supplementary group ids
//	string         hostname; empty is the container's own id
//	list           mounts, parents first: string source (empty: a volume that the
//	               image asks for), string target, truth value read-only
//	truth value    read-only root file system
//	truth value    terminal
//	truth value    standard input kept open
//	list of string capabilities, sorted
//	8 bytes        memory limit, bytes
//	8 bytes        limit of processes and threads
//	8 bytes        CPU limit, thousandths of a core; 0 is none
//	string         network: bridge, host or none
//	list           published ports: string host address (empty: all), 2 bytes
//	               host port, 2 bytes container port, string protocol
//	4 bytes        stop signal's number
//	4 bytes        seconds between the stop signal and SIGKILL
//
// The image is not in it, but for what it gave to these fields: its digest
// stands beside the workload's in a receipt.
func (w *Workload) Encode() []byte {
	e := encoder(nil)
	e.string(workloadTag)
	e.strings(w.Args)
	e.strings(w.Env)
	e.string(w.Cwd)
	e.uint32(w.User.UID)
	e.uint32(w.User.GID)
	e.uint32(uint32(len(w.User.Groups)))
	for _, g := range w.User.Groups {
		e.uint32(g)
	}
	e.string(w.Hostname)
	e.uint32(uint32(len(w.Mounts)))
	for _, m := range w.Mounts {
		e.string(m.Source)
		e.string(m.Target)
		e.bool(m.ReadOnly)
	}
	e.bool(w.ReadOnly)
	e.bool(w.Tty)
	e.bool(w.Stdin)
	e.strings(w.Capabilities)
	e.uint64(w.Limits.MemoryBytes)
	e.uint64(w.Limits.Pids)
	e.uint64(w.Limits.CPUMilli)
	e.string(w.Network)
	e.uint32(uint32(len(w.Ports)))
	for _, p := range w.Ports {
		host := ""
		if p.HostIP != (netip.Addr{}) {
			host = p.HostIP.String()
		}
		e.string(host)
		e.uint16(p.HostPort)
		e.uint16(p.ContainerPort)
		e.string(p.Protocol)
	}
	e.uint32(uint32(w.StopSignal))
	e.uint32(w.StopTimeoutSeconds)
	return e
}

// Digest is the SHA-256 of the canonical encoding.
func (w *Workload) Digest() [32]byte { return sha256.Sum256(w.Encode()) }

type encoder []byte

func (e *encoder) uint16(v uint16) { *e = binary.BigEndian.AppendUint16(*e, v) }
func (e *encoder) uint32(v uint32) { *e = binary.BigEndian.AppendUint32(*e, v) }
func (e *encoder) uint64(v uint64) { *e = binary.BigEndian.AppendUint64(*e, v) }

func (e *encoder) bool(v bool) {
	if v {
		*e = append(*e, 1)
	} else {
		*e = append(*e, 0)
	}
}

func (e *encoder) string(v string) {
	e.uint32(uint32(len(v)))
	*e = append(*e, v...)
}

func (e *encoder) strings(v []string) {
	e.uint32(uint32(len(v)))
	for _, s := range v {
		e.string(s)
	}
}

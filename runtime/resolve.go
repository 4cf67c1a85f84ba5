package runtime

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime/network"
	"github.com/entroos/entroos/runtime/oci"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Defaults of a workload.
const (
	DefaultMemoryBytes        = 256 << 20
	DefaultPids               = 512
	DefaultStopTimeoutSeconds = 10

	// minMemoryBytes is what runc itself needs to get a container going.
	minMemoryBytes = 8 << 20
	defaultPath    = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// maxListing bounds an image's /etc/passwd and /etc/group.
	maxListing = 1 << 20
	// maxGroups is how many supplementary groups a user may have: a tenth of the
	// kernel's bound.
	maxGroups = 6553
	maxPorts  = 1000
)

// ErrInvalid is returned for a spec that cannot be run as it stands.
var ErrInvalid = errors.New("invalid workload")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

var hostnamePattern = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$`)

// Resolve fills a spec with its image's configuration and the defaults, and
// checks it. An error is ErrInvalid, or oci.ErrNotFound for the image.
func (r *Runtime) Resolve(spec *entroosv1.WorkloadSpec) (*Workload, error) {
	if spec.GetImage() == "" {
		return nil, invalid("no image is named")
	}
	image, err := r.images.Get(spec.Image)
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	w := &Workload{
		Image: spec.Image, ReadOnly: spec.ReadOnly, Tty: spec.Tty, Stdin: spec.Stdin,
		Hostname: spec.Hostname, StopTimeoutSeconds: spec.StopTimeoutSeconds, ImageEntropy: image.Entropy,
	}
	digest, err := hex.DecodeString(strings.TrimPrefix(image.Digest, "sha256:"))
	if err != nil || copy(w.ImageDigest[:], digest) != len(w.ImageDigest) {
		return nil, fmt.Errorf("image %s: not a SHA-256 digest", image.Digest)
	}
	if w.Hostname != "" && (len(w.Hostname) > 63 || !hostnamePattern.MatchString(w.Hostname)) {
		return nil, invalid("hostname %q", w.Hostname)
	}
	if w.StopTimeoutSeconds == 0 {
		w.StopTimeoutSeconds = DefaultStopTimeoutSeconds
	}
	config, err := r.images.Config(image.Digest)
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	home, err := w.resolveUser(spec, config, oci.Layers(r.images.Lowers(image)))
	if err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return w.resolveProcess(spec, config, home) },
		func() error { return w.resolveStop(spec, config) },
		func() error { return w.resolveMounts(spec.Mounts, config.Volumes) },
		func() error { return w.keepVolumes(spec) },
		func() error { return w.resolveLimits(spec.Limits) },
		func() error { return w.resolveNetwork(spec) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if w.Capabilities, err = resolveCapabilities(spec.CapAdd, spec.CapDrop); err != nil {
		return nil, invalid("%w", err)
	}
	return w, nil
}

// resolveUser looks the user up in the image's own files.
func (w *Workload) resolveUser(spec *entroosv1.WorkloadSpec, config v1.Config, layers oci.Layers) (home string, err error) {
	name := config.User
	if spec.User != "" {
		name = spec.User
	}
	passwd, err := readListing(layers, "etc/passwd")
	if err != nil {
		return "", err
	}
	group, err := readListing(layers, "etc/group")
	if err != nil {
		return "", err
	}
	w.User, home, err = lookupUser(name, passwd, group)
	return home, err
}

func readListing(layers oci.Layers, name string) ([]byte, error) {
	content, err := layers.ReadFile(name, maxListing)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, invalid("the image's /%s: %w", name, err)
	}
	return content, nil
}

// lookupUser finds uid, uid:gid, name or name:group, or, if empty, root.
func lookupUser(name string, passwd, group []byte) (User, string, error) {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return User{}, "", invalid("user %q", name) // the library's errors have it as it is
	}
	found, err := user.GetExecUser(name, &user.ExecUser{Home: "/"}, bytes.NewReader(passwd), bytes.NewReader(group))
	if err != nil {
		return User{}, "", invalid("user %q: %w", name, err)
	}
	ids := append([]int{found.Uid, found.Gid}, found.Sgids...)
	for _, id := range ids {
		if id < 0 || id >= idsPerContainer {
			return User{}, "", invalid("user %q: id %d is not among the container's %d", name, id, idsPerContainer)
		}
	}
	if len(found.Sgids) > maxGroups {
		return User{}, "", invalid("user %q is in %d groups, and at most %d are possible", name, len(found.Sgids), maxGroups)
	}
	u := User{UID: uint32(found.Uid), GID: uint32(found.Gid)}
	for _, g := range found.Sgids {
		u.Groups = append(u.Groups, uint32(g))
	}
	if found.Home == "" {
		found.Home = "/"
	}
	return u, found.Home, nil
}

func (w *Workload) resolveStop(spec *entroosv1.WorkloadSpec, config v1.Config) error {
	name := config.StopSignal
	if spec.StopSignal != "" {
		name = spec.StopSignal
	}
	if name == "" {
		w.StopSignal = int(unix.SIGTERM)
		return nil
	}
	number, err := ParseSignal(name)
	if err != nil {
		return invalid("stop signal: %w", err)
	}
	w.StopSignal = number
	return nil
}

// ParseSignal gives the number of a signal written as a number or a name, with
// or without SIG.
func ParseSignal(s string) (int, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > 64 {
			return 0, fmt.Errorf("there is no signal %d", n)
		}
		return n, nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if n := unix.SignalNum(name); n != 0 {
		return int(n), nil
	}
	// Of the real-time signals glibc keeps two for itself.
	for base, first := range map[string]int{"SIGRTMIN+": 34, "SIGRTMAX-": 64} {
		if rest, ok := strings.CutPrefix(name, base); ok {
			n, err := strconv.Atoi(rest)
			if err == nil && n >= 0 && n <= 30 {
				if base == "SIGRTMAX-" {
					n = -n
				}
				return first + n, nil
			}
		}
	}
	return 0, fmt.Errorf("there is no signal %q", s)
}

func (w *Workload) resolveLimits(l *entroosv1.Limits) error {
	w.Limits = Limits{MemoryBytes: l.GetMemoryBytes(), Pids: l.GetPids(), CPUMilli: l.GetCpuMilli()}
	if w.Limits.MemoryBytes == 0 {
		w.Limits.MemoryBytes = DefaultMemoryBytes
	}
	if w.Limits.Pids == 0 {
		w.Limits.Pids = DefaultPids
	}
	switch {
	case w.Limits.MemoryBytes < minMemoryBytes:
		return invalid("a memory limit of %d bytes is too small: at least %d are needed", w.Limits.MemoryBytes, minMemoryBytes)
	case w.Limits.MemoryBytes > math.MaxInt64/2:
		return invalid("a memory limit of %d bytes is too large", w.Limits.MemoryBytes)
	case w.Limits.Pids > 1<<22:
		return invalid("a limit of %d processes is too large", w.Limits.Pids)
	case w.Limits.CPUMilli > 0 && w.Limits.CPUMilli < 10 || w.Limits.CPUMilli > 1_000_000:
		return invalid("a CPU limit of %g is no number of cores from 0.01 to 1000", float64(w.Limits.CPUMilli)/1000)
	}
	return nil
}

func (w *Workload) resolveNetwork(spec *entroosv1.WorkloadSpec) error {
	switch w.Network = spec.Network; w.Network {
	case "":
		w.Network = NetworkBridge
	case NetworkBridge, NetworkHost, NetworkNone:
	default:
		return invalid("network %q: bridge, host and none are possible", w.Network)
	}
	if len(spec.Ports) > 0 && w.Network != NetworkBridge {
		return invalid("ports are published with network bridge only, not with %s", w.Network)
	}
	if len(spec.Ports) > maxPorts {
		return invalid("%d ports, and at most %d can be published", len(spec.Ports), maxPorts)
	}
	for _, p := range spec.Ports {
		port, err := resolvePort(p)
		if err != nil {
			return err
		}
		for _, other := range w.Ports {
			if other.HostPort == port.HostPort && other.Protocol == port.Protocol &&
				(other.HostIP == port.HostIP || !other.HostIP.IsValid() || !port.HostIP.IsValid()) {
				return invalid("port %d/%s is published twice", port.HostPort, port.Protocol)
			}
		}
		w.Ports = append(w.Ports, port)
	}
	return nil
}

func resolvePort(p *entroosv1.PortMapping) (network.Port, error) {
	port := network.Port{HostPort: uint16(p.HostPort), ContainerPort: uint16(p.ContainerPort), Protocol: p.Protocol}
	if port.Protocol == "" {
		port.Protocol = "tcp"
	}
	if port.Protocol != "tcp" && port.Protocol != "udp" {
		return port, invalid("protocol %q: tcp and udp are possible", p.Protocol)
	}
	for _, n := range []uint32{p.HostPort, p.ContainerPort} {
		if n == 0 || n > math.MaxUint16 {
			return port, invalid("port %d: 1 to 65535 are possible", n)
		}
	}
	if p.HostIp != "" {
		ip, err := netip.ParseAddr(p.HostIp)
		if err != nil || !ip.Is4() {
			return port, invalid("host address %q is not an IPv4 address", p.HostIp)
		}
		if !ip.IsUnspecified() {
			port.HostIP = ip
		}
	}
	return port, nil
}

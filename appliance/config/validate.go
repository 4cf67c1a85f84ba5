package config

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

var (
	// hostnamePattern is RFC 1123's label: mDNS adds .local, DHCP the domain.
	hostnamePattern  = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)
	dnsNamePattern   = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*\.?$`)
	interfacePattern = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,14}$`) // IFNAMSIZ less the zero
	servicePattern   = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)
	bcryptPattern    = regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$`)
	labelPattern     = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_./-]{0,62}$`)
	majorPattern     = regexp.MustCompile(`^v[0-9]+$`)
)

// The costs of a bcrypt hash that are taken: above, a small box would compute
// for seconds before it answers.
const minBcryptCost, maxBcryptCost = 4, 14

// validate checks what the types do not say, and fills in the names of
// services.
func (d *decoder) validate() error {
	c := d.config
	if c.Hostname != "" && !hostnamePattern.MatchString(c.Hostname) {
		d.wrong("hostname", "%.60q is no host name: letters, digits and hyphens, at most 63, no dots", c.Hostname)
	}
	d.validateNetwork(c.Network)
	for i, s := range c.Time.Servers {
		if _, err := netip.ParseAddr(s); err != nil && (len(s) > 253 || !dnsNamePattern.MatchString(s)) {
			d.wrong(index("time.servers", i), "%.60q is neither a name nor an IP address", s)
		}
	}
	if c.Console.Password != "" {
		if err := checkPassword(c.Console.Password); err != nil {
			d.wrong("console.password", "%v", err)
		}
	}
	for i, key := range c.SSH.AuthorizedKeys {
		if err := checkAuthorizedKey(key); err != nil {
			d.wrong(index("ssh.authorized_keys", i), "%v", err)
		}
	}
	if _, set := d.places["ssh.port"]; set && (c.SSH.Port < 1 || c.SSH.Port > 65535) {
		d.wrong("ssh.port", "%d is no port: 1 to 65535", c.SSH.Port)
	}
	if _, set := d.places["resources.target"]; set && !(c.Resources.Target > 0 && c.Resources.Target <= 1) {
		d.wrong("resources.target", "%v is no fraction above 0 and up to 1", c.Resources.Target)
	}
	for key, value := range c.Labels {
		if !labelPattern.MatchString(key) {
			d.wrong("labels."+key, "%.60q is no label: letters, digits, '_', '.', '/' and '-', at most 63", key)
		} else if len(value) > 255 || !printable(value) {
			d.wrong("labels."+key, "%.60q is no label's value: text in a line, at most 255", value)
		}
	}
	d.validateServices(c.Services)
	d.validateWorkloads(c.Workloads)
	for i, name := range c.Images {
		if name == "" || !printable(name) {
			d.wrong(index("images", i), "%.60q is no file", name)
		}
	}
	err := join(d.errors)
	d.errors = nil
	return err
}

// wrong notes what is wrong with the value at path, where that was written.
func (d *decoder) wrong(path, format string, args ...any) {
	at, known := d.places[path]
	for above := path; !known && above != ""; at, known = d.places[above] {
		above = above[:max(0, strings.LastIndexAny(above, ".["))]
	}
	if !known {
		at.file = d.file
	}
	d.errors = append(d.errors, at.file.faultAt(at.token, path, format, args...))
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func (d *decoder) validateNetwork(n Network) {
	for name, i := range n.Interfaces {
		at := "network.interfaces." + name
		if !interfacePattern.MatchString(name) {
			d.wrong(at, "%.60q is no name of an interface: they are eth0, eth1 and so on", name)
		}
		d.validateInterface(at, i)
	}
	for i, s := range n.DNS {
		if _, err := parseAddr(s); err != nil {
			d.wrong(index("network.dns", i), "%v", err)
		}
	}
}

func (d *decoder) validateInterface(at string, i Interface) {
	if i.UsesDHCP() && len(i.Addresses) > 0 {
		d.wrong(at+".dhcp", "DHCP and addresses exclude each other; write dhcp: false beside the addresses")
	}
	// Another file below may have the addresses.
	above := d.alone && i.Addresses == nil && (i.DHCP == nil || !*i.DHCP)
	if i.UsesDHCP() && i.Gateway != "" && !above {
		d.wrong(at+".gateway", "with DHCP the gateway comes from there too; leave it out, or name addresses")
	}
	var networks []netip.Prefix
	for k, text := range i.Addresses {
		p, err := parsePrefix(text)
		if err == nil && slices.ContainsFunc(networks, func(o netip.Prefix) bool { return o.Addr() == p.Addr() }) {
			err = fmt.Errorf("%s is there twice", p.Addr())
		}
		if err != nil {
			d.wrong(index(at+".addresses", k), "%v", err)
			continue
		}
		networks = append(networks, p)
	}
	if i.Gateway == "" || i.UsesDHCP() && !above {
		return
	}
	gateway, err := parseAddr(i.Gateway)
	switch {
	case err != nil:
		d.wrong(at+".gateway", "%v", err)
	case slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Addr() == gateway }):
		d.wrong(at+".gateway", "%s is the box's own address", gateway)
	case above:
	case len(networks) == 0:
		d.wrong(at+".gateway", "a gateway needs an address of the box's own beside it: addresses: [192.168.1.7/24]")
	case !slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(gateway) }) && !gateway.IsLinkLocalUnicast():
		d.wrong(at+".gateway", "%s is in the network of none of the addresses", gateway)
	}
}

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() {
		return a, fmt.Errorf("%.60q is no IP address", text)
	}
	return a, nil
}

// parsePrefix reads an address of the box's own with its network's length.
func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%.60q is no address with the length of its network, e.g. 192.168.1.7/24", text)
	}
	a := p.Addr()
	single := a.BitLen()-p.Bits() < 2 // RFC 3021: both addresses of a /31 are hosts'
	switch {
	case p.Bits() == 0 || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
		return p, fmt.Errorf("%.60q is no address that a box can have", text)
	case !single && a == p.Masked().Addr():
		return p, fmt.Errorf("%.60q is the network itself, not an address in it", text)
	case !single && a.Is4() && a == broadcast(p):
		return p, fmt.Errorf("%.60q is the network's broadcast address", text)
	}
	return p, nil
}

// broadcast is the last address of an IPv4 network.
func broadcast(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	n := binary.BigEndian.Uint32(a[:]) | ^uint32(0)>>p.Bits()
	binary.BigEndian.PutUint32(a[:], n)
	return netip.AddrFrom4(a)
}

func checkPassword(hash string) error {
	m := bcryptPattern.FindStringSubmatch(hash)
	if m == nil {
		return fmt.Errorf("this is no bcrypt hash; make one with `entroos config password`")
	}
	if cost, _ := strconv.Atoi(m[1]); cost < minBcryptCost || cost > maxBcryptCost {
		return fmt.Errorf("the bcrypt cost %d is not from %d to %d", cost, minBcryptCost, maxBcryptCost)
	}
	return nil
}

// keyTypes are the SSH keys that are taken. DSA is broken.
var keyTypes = []string{
	"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa",
	"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
}

// checkAuthorizedKey looks at one line as in authorized_keys(5). Options are
// refused: one that was overlooked would open what it was to close.
func checkAuthorizedKey(line string) error {
	if strings.ContainsAny(line, "\r\n\x00") && strings.ContainsAny(strings.TrimSpace(line), "\r\n\x00") {
		return fmt.Errorf("an SSH key is one line; write each key as an entry of its own")
	}
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return fmt.Errorf("this is no SSH public key, e.g. ssh-ed25519 AAAA... name")
	}
	if !slices.Contains(keyTypes, fields[0]) {
		if slices.ContainsFunc(keyTypes, func(t string) bool { return strings.Contains(line, " "+t+" ") }) {
			return fmt.Errorf("options before an SSH key are not known here; begin with the key's type")
		}
		return fmt.Errorf("%.60q is no type of SSH key; there are %s", fields[0], strings.Join(keyTypes, ", "))
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return fmt.Errorf("the SSH key is damaged: %w", err)
	}
	// RFC 4253, 6.6: the type again, as a string with its length before it.
	n := len(fields[0])
	if len(blob) < 4+n+4 || binary.BigEndian.Uint32(blob) != uint32(n) || string(blob[4:4+n]) != fields[0] {
		return fmt.Errorf("the SSH key is damaged: it is not of the type %s that stands before it", fields[0])
	}
	return nil
}

func (d *decoder) validateServices(services []Service) {
	names := make(map[string]bool)
	for i := range services {
		s := &services[i]
		at := index("services", i)
		if s.Package == "" || !printable(s.Package) || strings.ContainsAny(s.Package, " @\\") || strings.HasPrefix(s.Package, "-") {
			d.wrong(at+".package", "%.60q is no import path of a Go command", s.Package)
			continue
		}
		if s.Name == "" {
			s.Name = lastElement(s.Package)
		}
		if strings.ContainsAny(s.Version, " @/\\") || strings.HasPrefix(s.Version, "-") || !printable(s.Version) {
			d.wrong(at+".version", "%.60q is no version, e.g. v1.2.3", s.Version)
		}
		switch {
		case !servicePattern.MatchString(s.Name):
			d.wrong(at+".name", "%.60q is no name: letters, digits, '_', '.' and '-', at most 63", s.Name)
		case reserved(s.Name):
			d.wrong(at+".name", "%.60q is a service of the box itself; give this one another name, e.g. name: my-%s", s.Name, s.Name)
		case names[s.Name]:
			d.wrong(at+".name", "two services have the name %.60q", s.Name)
		}
		names[s.Name] = true
		d.validateArgs(at, s.Args, s.Env)
	}
}

func (d *decoder) validateArgs(at string, args, env []string) {
	for i, a := range args {
		if strings.ContainsRune(a, 0) {
			d.wrong(index(at+".args", i), "%.60q holds a zero byte", a)
		}
	}
	for i, e := range env {
		if strings.IndexByte(e, '=') <= 0 || strings.ContainsRune(e, 0) {
			d.wrong(index(at+".env", i), "%.60q is not of the form KEY=value", e)
		}
	}
}

// lastElement is the name that go build gives a command.
func lastElement(pkg string) string {
	last := path.Base(pkg)
	if majorPattern.MatchString(last) {
		last = path.Base(path.Dir(pkg))
	}
	return last
}

func (d *decoder) validateWorkloads(workloads []Workload) {
	names := make(map[string]bool)
	for i := range workloads {
		w, at := &workloads[i], index("workloads", i)
		_, err := w.Spec()
		if wrong := (*keyError)(nil); errors.As(err, &wrong) {
			d.wrong(at+"."+wrong.key, "%v", wrong.err)
			continue
		}
		if names[w.Name] {
			d.wrong(at+".name", "two workloads have the name %.60q", w.Name)
		}
		names[w.Name] = true
	}
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

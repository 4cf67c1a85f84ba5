//go:build guest

package runtime_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime"
)

// Addresses of the peer, a machine on the box's other side.
const (
	boxAddress  = "10.9.0.1"
	peerAddress = "10.9.0.2"
)

// peer is a network namespace joined to the box's by a cable, as another
// machine would be.
type peer struct{ ns, box netns.NsHandle }

func newPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{}
	p.onThread(t, func() {
		var err error
		if p.box, err = netns.Get(); err != nil {
			t.Fatal(err)
		}
		if p.ns, err = netns.New(); err != nil {
			t.Fatal(err)
		}
		if err := netns.Set(p.box); err != nil {
			t.Fatal(err)
		}
	})
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "outside"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "inside", PeerNamespace: netlink.NsFd(p.ns)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if link, err := netlink.LinkByName("outside"); err != nil {
			t.Error(err)
		} else if err := netlink.LinkDel(link); err != nil {
			t.Error(err)
		}
		p.ns.Close()
		p.box.Close()
	})
	for _, end := range []struct {
		ns            netns.NsHandle
		name, address string
	}{{p.box, "outside", boxAddress}, {p.ns, "inside", peerAddress}} {
		h, err := netlink.NewHandleAt(end.ns, unix.NETLINK_ROUTE)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		link, err := h.LinkByName(end.name)
		if err != nil {
			t.Fatal(err)
		}
		address, err := netlink.ParseAddr(end.address + "/24")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.AddrAdd(link, address); err != nil {
			t.Fatal(err)
		}
		if err := h.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// onThread runs f on a thread whose namespace it may change and put back.
func (p *peer) onThread(t *testing.T, f func()) {
	t.Helper()
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	f()
}

// in runs f within the peer.
func (p *peer) in(t *testing.T, f func() error) {
	t.Helper()
	p.onThread(t, func() {
		if err := netns.Set(p.ns); err != nil {
			t.Fatal(err)
		}
		err := f()
		if err := netns.Set(p.box); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// ask dials an address until it answers, and gives the answer.
func ask(address string) (string, error) {
	var last error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		c, err := net.DialTimeout("tcp4", address, 5*time.Second)
		if err != nil {
			last = err
			continue
		}
		answer, err := io.ReadAll(c)
		c.Close()
		if err == nil && len(answer) > 0 {
			return string(answer), nil
		}
		last = fmt.Errorf("answer %q: %w", answer, err)
	}
	return "", last
}

func TestPublishedPort(t *testing.T) {
	b := newBox(t)
	p := newPeer(t)
	out := newLines()
	s := spec("serve", ":80", "page")
	s.Ports = []*entroosv1.PortMapping{{HostPort: 8080, ContainerPort: 80}, {HostIp: boxAddress, HostPort: 8081, ContainerPort: 80}}
	c := b.start(s, runtime.IO{Stdout: out})
	out.expect(t, "serving")

	for _, address := range []string{"127.0.0.1:8080", boxAddress + ":8080", c.IP().String() + ":80", boxAddress + ":8081"} {
		if answer, err := ask(address); err != nil || !strings.HasPrefix(answer, "page ") {
			t.Errorf("the box, from %s: %q, %v", address, answer, err)
		}
	}
	p.in(t, func() error {
		answer, err := ask(boxAddress + ":8080")
		// The container sees who calls it.
		if err == nil && !strings.HasPrefix(answer, "page "+peerAddress+":") {
			t.Errorf("the peer: %q", answer)
		}
		return err
	})
	// Another container reaches it as the world does, and directly; it itself
	// does, too.
	for _, address := range []string{boxAddress + ":8080", "172.29.0.1:8080", c.IP().String() + ":80"} {
		if got := b.mustRun(spec("dial", address)); !strings.HasPrefix(got, "page ") {
			t.Errorf("a container, from %s: %q", address, got)
		}
	}
	got := newLines()
	if code, err := c.Exec(t.Context(), runtime.ExecSpec{Args: []string{"/bin/payload", "dial", "172.29.0.1:8080"}}, runtime.IO{Stdout: got}); err != nil || code != 0 || !strings.HasPrefix(got.String(), "page ") {
		t.Errorf("the container itself: %q, %d, %v", got, code, err)
	}

	// A second claim to the port fails, and leaves nothing.
	w, err := b.Resolve(s)
	if err != nil {
		t.Fatal(err)
	}
	id := b.id()
	if _, err := b.Create(t.Context(), id, w, runtime.IO{}); err == nil || !strings.Contains(err.Error(), "port 8080/tcp") {
		t.Errorf("the port was given twice: %v", err)
	}
	if err := b.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}

	// It is free again when the container has gone.
	if err := c.Stop(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, err := net.DialTimeout("tcp4", boxAddress+":8080", time.Second); err == nil {
		c.Close()
		t.Error("the port is open still")
	}
	b.start(s, runtime.IO{})
	if _, err := ask("127.0.0.1:8080"); err != nil {
		t.Error(err)
	}
}

// TestPublishedDatagrams has one client, always from the same port, while
// containers come and go.
func TestPublishedDatagrams(t *testing.T) {
	b := newBox(t)
	p := newPeer(t)
	var client net.Conn
	p.in(t, func() (err error) {
		client, err = net.Dial("udp4", boxAddress+":5353")
		return err
	})
	defer client.Close()
	answer := func() string {
		buffer := make([]byte, 100)
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			if _, err := client.Write([]byte("question")); err != nil {
				continue // a refusal of the one before
			}
			if err := client.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if n, err := client.Read(buffer); err == nil {
				return string(buffer[:n])
			}
		}
		return ""
	}
	if _, err := client.Write([]byte("nobody is there")); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first", "second"} {
		out := newLines()
		s := spec("serve-udp", ":53", text)
		s.Ports = []*entroosv1.PortMapping{{HostPort: 5353, ContainerPort: 53, Protocol: "udp"}}
		c := b.start(s, runtime.IO{Stdout: out})
		out.expect(t, "serving")
		if got := answer(); got != text+" question" {
			t.Errorf("the %s container answers %q", text, got)
		}
		if err := c.Stop(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOutbound(t *testing.T) {
	b := newBox(t)
	p := newPeer(t)
	var l net.Listener
	p.in(t, func() (err error) {
		l, err = net.Listen("tcp4", peerAddress+":7000")
		return err
	})
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "you are %s\n", c.RemoteAddr())
			c.Close()
		}
	}()
	// The peer knows no way to containers: it sees the box.
	if got := b.mustRun(spec("dial", peerAddress+":7000")); !strings.HasPrefix(got, "you are "+boxAddress+":") {
		t.Errorf("got %q", got)
	}
	// Nor may it reach one that publishes nothing, even if it knew a way.
	out := newLines()
	c := b.start(spec("serve", ":80", "page"), runtime.IO{Stdout: out})
	out.expect(t, "serving")
	h, err := netlink.NewHandleAt(p.ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	link, err := h.LinkByName("inside")
	if err != nil {
		t.Fatal(err)
	}
	_, subnet, err := net.ParseCIDR("172.29.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: subnet, Gw: net.ParseIP(boxAddress)}); err != nil {
		t.Fatal(err)
	}
	p.in(t, func() error {
		if conn, err := net.DialTimeout("tcp4", c.IP().String()+":80", 2*time.Second); err == nil {
			conn.Close()
			t.Error("a container was reached from outside")
		}
		return nil
	})
}

func TestNetworkModes(t *testing.T) {
	b := newBox(t)
	links := func(mode string) string {
		s := spec("cat", "/proc/net/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
		s.Network = mode
		return b.mustRun(s)
	}
	got := links("bridge")
	if !strings.Contains(got, "eth0:") || !strings.Contains(got, "172.29.0.") || !strings.Contains(got, "nameserver 10.0.2.3") {
		t.Errorf("bridge:\n%s", got)
	}
	if got := links("none"); strings.Contains(got, "eth0") || !strings.Contains(got, "lo:") {
		t.Errorf("none:\n%s", got)
	}
	if got := links("host"); !strings.Contains(got, "entroos0:") {
		t.Errorf("host:\n%s", got)
	}
	// In a network of its own any user may take any port.
	low := spec("listen", ":80")
	low.User = "worker"
	b.mustRun(low)
	low.Network = "host"
	if _, stderr, r := b.run(low); r.ExitCode == 0 {
		t.Errorf("a port below 1024 of the box was taken: %s", stderr)
	}
	named := spec("status")
	named.Hostname = "my-name"
	if got := b.mustRun(named); !strings.Contains(got, "hostname: my-name") {
		t.Errorf("hostname:\n%s", got)
	}
}

func TestAddressesAreUnique(t *testing.T) {
	b := newBox(t)
	seen := make(map[netip.Addr]bool)
	for range 3 {
		c := b.start(spec("wait"), runtime.IO{})
		if seen[c.IP()] || !c.IP().Is4() {
			t.Errorf("address %s", c.IP())
		}
		seen[c.IP()] = true
	}
}

func TestResolvConfFollows(t *testing.T) {
	b := newBox(t)
	served := make(chan error, 1)
	ctx, cancel := contextWithCancel(t)
	go func() { served <- b.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-served
		if err := os.WriteFile("/etc/resolv.conf", []byte("nameserver 10.0.2.3\n"), 0o644); err != nil {
			t.Error(err)
		}
	})
	out := newLines()
	c := b.start(spec("wait"), runtime.IO{Stdout: out})
	out.expect(t, "waiting")
	// As a DHCP client does it: another file takes the name.
	if err := os.WriteFile("/etc/resolv.conf.new", []byte("nameserver 127.0.0.1\nnameserver 192.0.2.9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename("/etc/resolv.conf.new", "/etc/resolv.conf"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		got := newLines()
		if _, err := c.Exec(t.Context(), runtime.ExecSpec{Args: []string{"/bin/payload", "cat", "/etc/resolv.conf"}}, runtime.IO{Stdout: got}); err != nil {
			t.Fatal(err)
		}
		if got.String() == "nameserver 192.0.2.9\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the container sees %q", got)
		}
	}
}

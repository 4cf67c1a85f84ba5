//go:build guest

package runtime_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime"
)

// TestBoxIsClosedToContainers: a container reaches no port of the box itself,
// at none of its addresses; others do.
func TestBoxIsClosedToContainers(t *testing.T) {
	b := newBox(t)
	p := newPeer(t)
	l, err := net.Listen("tcp", ":7100") // both IPs
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "the box")
			c.Close()
		}
	}()
	out := newLines()
	c := b.start(spec("serve", ":80", "page"), runtime.IO{Stdout: out}) // makes the bridge
	out.expect(t, "serving")
	addresses := []string{"172.29.0.1:7100", boxAddress + ":7100"}
	bridge, err := netlink.LinkByName("entroos0")
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		found, err := netlink.AddrList(bridge, netlink.FAMILY_V6)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 1 && found[0].Flags&unix.IFA_F_TENTATIVE == 0 {
			addresses = append(addresses, "["+found[0].IP.String()+"%eth0]:7100")
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the bridge's IPv6 addresses: %v", found)
		}
	}
	for _, address := range addresses {
		got := newLines()
		start := time.Now()
		code, err := c.Exec(t.Context(), runtime.ExecSpec{Args: []string{"/bin/payload", "dial", address, "5"}}, runtime.IO{Stdout: got, Stderr: got})
		if err != nil {
			t.Fatal(err)
		}
		if code == 0 || strings.Contains(got.String(), "the box") {
			t.Errorf("a container reached the box at %s: exit %d, %q", address, code, got)
		}
		t.Logf("%s: exit %d after %v: %s", address, code, time.Since(start), got)
	}
	p.in(t, func() error {
		if got, err := ask(boxAddress + ":7100"); got != "the box\n" {
			t.Errorf("another machine got %q, %v", got, err)
		}
		return nil
	})
}

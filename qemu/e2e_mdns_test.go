//go:build vm

package qemu_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/ipv4"

	"github.com/entroos/entroos/qemu"
)

// lan is a second network of the machine, of which the test is the other end:
// each datagram on its socket is one Ethernet frame.
type lan struct {
	testing.TB
	conn    *net.UnixConn
	machine *net.UnixAddr
}

// addLAN gives the machine the network as its second one, eth1.
func addLAN(t testing.TB, c *qemu.Config) *lan {
	t.Helper()
	dir, err := os.MkdirTemp("", "lan") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	here, there := filepath.Join(dir, "here"), filepath.Join(dir, "there")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: here, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c.ExtraArgs = append(c.ExtraArgs,
		"-netdev", "dgram,id=lan,local.type=unix,local.path="+there+",remote.type=unix,remote.path="+here,
		"-device", "virtio-net-pci,netdev=lan,romfile=")
	return &lan{TB: t, conn: conn, machine: &net.UnixAddr{Name: there, Net: "unixgram"}}
}

// ask multicasts an mDNS query for a name's IPv4 address (RFC 6762 §5) as a
// neighbour of this address.
func (l *lan) ask(from netip.Addr, name string) {
	l.Helper()
	query := dnsmessage.Message{Questions: []dnsmessage.Question{{
		Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET,
	}}}
	payload, err := query.Pack()
	if err != nil {
		l.Fatal(err)
	}
	const udpHeader = 8
	header := ipv4.Header{
		Version: 4, Len: ipv4.HeaderLen, TotalLen: ipv4.HeaderLen + udpHeader + len(payload), TTL: 255, Protocol: 17,
		Src: from.AsSlice(), Dst: net.IPv4(224, 0, 0, 251),
	}
	ip, err := header.Marshal()
	if err != nil {
		l.Fatal(err)
	}
	binary.BigEndian.PutUint16(ip[2:], uint16(header.TotalLen)) // Marshal has the host's order on some systems
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))

	frame := []byte{0x01, 0x00, 0x5e, 0, 0, 0xfb, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00}
	frame = append(frame, ip...)
	for _, field := range []uint16{5353, 5353, uint16(udpHeader + len(payload)), 0} { // no checksum
		frame = binary.BigEndian.AppendUint16(frame, field)
	}
	if _, err := l.conn.WriteTo(append(frame, payload...), l.machine); err != nil {
		l.Fatal(err)
	}
}

// answer reads frames until one is an mDNS answer to the name, and gives its
// address; the zero Addr when there is none for a second.
func (l *lan) answer(name string) netip.Addr {
	l.Helper()
	if err := l.conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		l.Fatal(err)
	}
	frame := make([]byte, 1<<16)
	for {
		n, err := l.conn.Read(frame)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return netip.Addr{}
		} else if err != nil {
			l.Fatal(err)
		}
		// Ethernet's header is 14 bytes, UDP's 8.
		if n < 42 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 || frame[23] != 17 {
			continue
		}
		udp := frame[14+4*int(frame[14]&15) : n]
		if len(udp) < 8 || binary.BigEndian.Uint16(udp) != 5353 {
			continue
		}
		var message dnsmessage.Message
		if err := message.Unpack(udp[8:]); err != nil {
			l.Fatalf("what comes from port 5353 is no DNS: %v", err)
		}
		if !message.Response {
			continue
		}
		for _, r := range message.Answers {
			if a, ok := r.Body.(*dnsmessage.AResource); ok && r.Header.Name.String() == name {
				return netip.AddrFrom4(a.A)
			}
		}
	}
}

// checkNameOnLAN has a neighbour ask for the box by name.
func checkNameOnLAN(b *box, l *lan) {
	own := netip.MustParseAddr("192.168.77.2")
	b.run("config", "set", "network.interfaces.eth1", fmt.Sprintf("{addresses: [%s/24]}", own))
	b.until("the box to answer to its name", func() (bool, string) {
		l.ask(netip.MustParseAddr("192.168.77.1"), "entroos.local.")
		got := l.answer("entroos.local.")
		return got == own, fmt.Sprintf("the last answer: %v", got)
	})
}

//go:build guest

package runtime_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// answerName is a name server's answer to a question: an address for one name,
// and none for all others.
func answerName(question []byte, name string, address [4]byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(question)
	if err != nil {
		return nil, err
	}
	q, err := parser.Question()
	if err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	switch {
	case q.Name.String() != name:
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 60},
			Body:   &dnsmessage.AResource{A: address},
		}}
	}
	return m.Pack()
}

// serveNames answers questions that come to c until it is closed.
func serveNames(t *testing.T, c net.PacketConn) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			answer, err := answerName(buffer[:n], "box.example.", [4]byte{192, 0, 2, 77})
			if err == nil {
				_, err = c.WriteTo(answer, from)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
}

// TestNamesAreResolved has the box's name server be the peer.
func TestNamesAreResolved(t *testing.T) {
	b := newBox(t)
	p := newPeer(t)
	var server net.PacketConn
	p.in(t, func() (err error) {
		server, err = net.ListenPacket("udp4", peerAddress+":53")
		return err
	})
	serveNames(t, server)
	before, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile("/etc/resolv.conf", before, 0o644); err != nil {
			t.Error(err)
		}
	})
	// Nobody answers on the loopback; containers are not told to ask there.
	if err := os.WriteFile("/etc/resolv.conf", []byte("nameserver 127.0.0.53\nnameserver "+peerAddress+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"", "worker"} {
		s := spec("resolve", "box.example")
		s.User = user
		if got := b.mustRun(s); got != "192.0.2.77\n" {
			t.Errorf("user %q: the name is %q", user, got)
		}
	}
	host := spec("resolve", "box.example")
	host.Network = "host"
	if got := b.mustRun(host); got != "192.0.2.77\n" {
		t.Errorf("in the box's network the name is %q", got)
	}
	if _, stderr, r := b.run(spec("resolve", "nobody.example")); r.ExitCode == 0 || !strings.Contains(stderr, "no such host") {
		t.Errorf("a name that nobody has: exit %d, %s", r.ExitCode, stderr)
	}
}

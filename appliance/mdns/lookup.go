package mdns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/ipv4"
)

// askAgain is the time between two questions of a lookup.
const askAgain = time.Second

// ErrNoAnswer says that nobody on the networks has the name.
var ErrNoAnswer = errors.New("nobody answers to the name")

// Lookup asks for a name that ends in .local on each of this machine's IPv4
// networks, until somebody answers or ctx ends.
func Lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	name = strings.ToLower(strings.TrimSuffix(name, ".")) + "."
	if _, err := dnsmessage.NewName(name); err != nil {
		return nil, fmt.Errorf("mdns: %q: %w", name, err)
	}
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return nil, fmt.Errorf("mdns: %w", err)
	}
	defer conn.Close()
	query := newBuilder(dnsmessage.Header{}, name)
	query.must(query.StartQuestions())
	query.must(query.Question(dnsmessage.Question{Name: query.name, Type: dnsmessage.TypeA, Class: classIN}))
	question := query.finish()
	buf := make([]byte, maxPacket)
	for ctx.Err() == nil {
		if err := ask(conn, question); err != nil {
			return nil, err
		}
		deadline := time.Now().Add(askAgain)
		if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
			deadline = d
		}
		if err := conn.SetReadDeadline(deadline); err != nil {
			return nil, fmt.Errorf("mdns: %w", err)
		}
		for {
			n, _, err := conn.ReadFromUDP(buf)
			if err != nil {
				break // the deadline
			}
			if m, ok := parse(buf[:n], name); ok && m.response && len(m.answers) > 0 {
				return m.answers, nil
			}
		}
	}
	return nil, fmt.Errorf("mdns: %s: %w", strings.TrimSuffix(name, "."), ErrNoAnswer)
}

// ask sends a question to the group on every network.
func ask(conn *net.UDPConn, question []byte) error {
	all, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("mdns: %w", err)
	}
	p := ipv4.NewPacketConn(conn)
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 {
			continue
		}
		// A network that takes nothing has nobody to answer.
		_, _ = p.WriteTo(question, &ipv4.ControlMessage{IfIndex: i.Index}, group4)
	}
	return nil
}

package mdns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

const port = 5353

var (
	group4 = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: port}
	group6 = &net.UDPAddr{IP: net.ParseIP("ff02::fb"), Port: port}
)

// maxPacket is the most that a message may have, in bytes (RFC 6762, 17).
const maxPacket = 9000

// hopLimit marks packets of the link itself (RFC 6762, 11).
const hopLimit = 255

// packet is a message that came in.
type packet struct {
	data      []byte
	from      netip.AddrPort
	index     int  // of the interface
	multicast bool // it was sent to the group
}

// transport is what messages travel on; the tests have their own.
type transport interface {
	join(index int) error
	leave(index int)
	multicast(to Interface, message []byte) error
	unicast(to netip.AddrPort, index int, message []byte) error
	// read starts reading until ctx ends. A failure ends it.
	read(ctx context.Context, start func(string, func()), packets chan<- packet, failed chan<- error)
	close()
}

var errJoined = errors.New("joined already")

// sockets is the transport on the box's networks. Either may be missing, in a
// kernel without it.
type sockets struct {
	conn4, conn6 net.PacketConn
	v4           *ipv4.PacketConn
	v6           *ipv6.PacketConn
}

func listen() (*sockets, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		err := c.Control(func(fd uintptr) { serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		return errors.Join(err, serr)
	}}
	s := &sockets{}
	var err4, err6 error
	if s.conn4, err4 = lc.ListenPacket(context.Background(), "udp4", fmt.Sprintf(":%d", port)); err4 == nil {
		s.v4 = ipv4.NewPacketConn(s.conn4)
		err4 = errors.Join(
			s.v4.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true),
			s.v4.SetMulticastTTL(hopLimit), s.v4.SetTTL(hopLimit), s.v4.SetMulticastLoopback(true))
	}
	if s.conn6, err6 = lc.ListenPacket(context.Background(), "udp6", fmt.Sprintf(":%d", port)); err6 == nil {
		s.v6 = ipv6.NewPacketConn(s.conn6)
		err6 = errors.Join(
			s.v6.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true),
			s.v6.SetMulticastHopLimit(hopLimit), s.v6.SetHopLimit(hopLimit), s.v6.SetMulticastLoopback(true))
	}
	if s.v4 == nil && s.v6 == nil {
		return nil, fmt.Errorf("mdns: %w", errors.Join(err4, err6))
	}
	if s.v4 != nil && err4 != nil || s.v6 != nil && err6 != nil {
		s.close()
		return nil, fmt.Errorf("mdns: %w", errors.Join(err4, err6))
	}
	return s, nil
}

func (s *sockets) close() {
	for _, c := range []net.PacketConn{s.conn4, s.conn6} {
		if c != nil {
			_ = c.Close() // nothing is kept back
		}
	}
}

func (s *sockets) join(index int) error {
	var errs []error
	joined := false
	i := &net.Interface{Index: index}
	if s.v4 != nil {
		err := s.v4.JoinGroup(i, group4)
		joined = joined || errors.Is(err, unix.EADDRINUSE)
		errs = append(errs, err)
	}
	if s.v6 != nil {
		err := s.v6.JoinGroup(i, group6)
		joined = joined || errors.Is(err, unix.EADDRINUSE)
		errs = append(errs, err)
	}
	if joined {
		return errJoined
	}
	return errors.Join(errs...)
}

// leave is mostly for interfaces that have gone, with their memberships.
func (s *sockets) leave(index int) {
	i := &net.Interface{Index: index}
	if s.v4 != nil {
		_ = s.v4.LeaveGroup(i, group4)
	}
	if s.v6 != nil {
		_ = s.v6.LeaveGroup(i, group6)
	}
}

func (s *sockets) multicast(to Interface, message []byte) error {
	var errs []error
	has4, has6 := false, false
	for _, p := range to.Prefixes {
		has4, has6 = has4 || p.Addr().Is4(), has6 || p.Addr().Is6()
	}
	if has4 && s.v4 != nil {
		_, err := s.v4.WriteTo(message, &ipv4.ControlMessage{IfIndex: to.Index}, group4)
		errs = append(errs, err)
	}
	if has6 && s.v6 != nil {
		_, err := s.v6.WriteTo(message, &ipv6.ControlMessage{IfIndex: to.Index}, group6)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *sockets) unicast(to netip.AddrPort, index int, message []byte) error {
	if to.Addr().Is4() {
		if s.v4 == nil {
			return net.ErrClosed
		}
		_, err := s.v4.WriteTo(message, &ipv4.ControlMessage{IfIndex: index}, net.UDPAddrFromAddrPort(to))
		return err
	}
	if s.v6 == nil {
		return net.ErrClosed
	}
	_, err := s.v6.WriteTo(message, &ipv6.ControlMessage{IfIndex: index}, net.UDPAddrFromAddrPort(to))
	return err
}

func (s *sockets) read(ctx context.Context, start func(string, func()), packets chan<- packet, failed chan<- error) {
	loop := func(name string, next func([]byte) (int, packet, error)) {
		start(name, func() {
			buf := make([]byte, maxPacket)
			for {
				n, p, err := next(buf)
				if err != nil {
					if ctx.Err() == nil {
						failed <- fmt.Errorf("mdns: reading: %w", err)
					}
					return
				}
				p.data = append([]byte(nil), buf[:n]...)
				p.from = netip.AddrPortFrom(p.from.Addr().Unmap(), p.from.Port())
				select {
				case packets <- p:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	if s.v4 != nil {
		loop("mdns ipv4", func(buf []byte) (int, packet, error) {
			n, cm, from, err := s.v4.ReadFrom(buf)
			if err != nil || cm == nil {
				return n, packet{}, err
			}
			return n, packet{from: from.(*net.UDPAddr).AddrPort(), index: cm.IfIndex, multicast: cm.Dst.IsMulticast()}, nil
		})
	}
	if s.v6 != nil {
		loop("mdns ipv6", func(buf []byte) (int, packet, error) {
			n, cm, from, err := s.v6.ReadFrom(buf)
			if err != nil || cm == nil {
				return n, packet{}, err
			}
			return n, packet{from: from.(*net.UDPAddr).AddrPort(), index: cm.IfIndex, multicast: cm.Dst.IsMulticast()}, nil
		})
	}
}

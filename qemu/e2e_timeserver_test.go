//go:build vm

package qemu_test

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/entroos/entroos/qemu"
)

// addTimeServer has this machine tell the box the time, as the gateway of the
// box's network (10.0.2.2). A box that asks in vain goes on asking.
func addTimeServer(b testing.TB, c *qemu.Config) {
	b.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:123")
	if err != nil {
		b.Fatalf("the time server: %v", err)
	}
	b.Cleanup(func() { conn.Close() })
	c.Network.Restrict = false // else the gateway is not reached
	go func() {
		query := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			if n < ntpSize {
				continue
			}
			if _, err := conn.WriteTo(ntpAnswer(query[:ntpSize], time.Now()), from); err != nil {
				return
			}
		}
	}()
}

// ntpSize is the size of an NTP packet without extensions, in bytes.
const ntpSize = 48

// ntpAnswer is a primary server's answer (RFC 5905 §7.3).
func ntpAnswer(query []byte, now time.Time) []byte {
	answer := make([]byte, ntpSize)
	answer[0] = 4<<3 | 4 // version 4, mode server
	answer[1] = 1        // stratum
	answer[3] = 0xec     // precision: 2⁻²⁰ s
	copy(answer[12:], "GPS\x00")
	seconds := uint64(now.Unix()) + 2208988800 // since 1900
	stamp := seconds<<32 | uint64(now.Nanosecond())<<32/1e9
	for _, at := range []int{16, 32, 40} { // reference, receive, transmit
		binary.BigEndian.PutUint64(answer[at:], stamp)
	}
	copy(answer[24:32], query[40:48]) // origin: the query's transmit time
	return answer
}

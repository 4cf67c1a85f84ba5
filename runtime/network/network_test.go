package network_test

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/runtime/network"
)

func TestAddresses(t *testing.T) {
	subnet := netip.MustParsePrefix("172.29.0.0/16")
	broadcast := netip.MustParseAddr("172.29.255.255")
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(0, network.MaxSlots-1)
		a, b := slots.Draw(t, "a"), slots.Draw(t, "b")
		address := network.Address(a)
		if !subnet.Contains(address) || address == subnet.Addr() || address == broadcast || address == network.Gateway() {
			t.Fatalf("slot %d has the address %s", a, address)
		}
		if (a == b) != (address == network.Address(b)) {
			t.Fatalf("slots %d and %d", a, b)
		}
	})
}

package mdns

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"pgregory.net/rapid"
)

func TestNameOf(t *testing.T) {
	long := strings.Repeat("x", 63)
	for _, c := range []struct {
		hostname string
		attempt  int
		want     string
	}{
		{"Cellar", 1, "cellar.local."},
		{"cellar.example.org", 1, "cellar.local."},
		{"cellar", 2, "cellar-2.local."},
		{long, 1, long + ".local."},
		{long, 12, long[:60] + "-12.local."},
	} {
		if got := nameOf(c.hostname, c.attempt); got != c.want {
			t.Errorf("%s at attempt %d: %s", c.hostname, c.attempt, got)
		}
	}
}

// TestAnswersAreRead: what one builds, the other reads as it was.
func TestAnswersAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ours := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) netip.Addr {
			if rapid.Bool().Draw(t, "v4") {
				return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "a")))
			}
			return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "aaaa")))
		}), 0, 5).Draw(t, "ours")
		const name = "cellar.local."
		m, ok := parse(answerMessage(name, ours, recordTTL), name)
		if !ok || !m.response || differ(m.answers, ours) || len(m.answers) != len(ours) {
			t.Fatalf("%v became %+v", ours, m)
		}
		p, ok := parse(probeMessage(name, ours), name)
		if !ok || p.response || p.asked != askedA|askedAAAA || compareRecords(p.authority, ours) != 0 {
			t.Fatalf("%v became %+v", ours, p)
		}
		if other, ok := parse(answerMessage(name, ours, recordTTL), "other.local."); !ok || len(other.answers) != 0 {
			t.Fatalf("for another name: %+v", other)
		}
	})
}

func TestCompareRecords(t *testing.T) {
	a := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	for _, c := range []struct {
		a, b []netip.Addr
		want int
	}{
		{[]netip.Addr{a("169.254.99.200")}, []netip.Addr{a("169.254.200.50")}, -1}, // RFC 6762, 8.2
		{[]netip.Addr{a("2.0.0.0"), a("1.0.0.0")}, []netip.Addr{a("1.0.0.0"), a("2.0.0.0")}, 0},
		{[]netip.Addr{a("1.0.0.0"), a("2.0.0.0")}, []netip.Addr{a("1.0.0.0")}, 1},
		{[]netip.Addr{a("::1")}, []netip.Addr{a("255.0.0.0")}, 1},
		{nil, nil, 0},
	} {
		if got := compareRecords(c.a, c.b); got != c.want {
			t.Errorf("%v and %v: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	ours := []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")}
	f.Add(probeMessage("cellar.local.", ours))
	f.Add(answerMessage("cellar.local.", ours, recordTTL))
	f.Add([]byte{0, 1, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, ok := parse(data, "cellar.local.")
		if !ok || m.response || m.asked == 0 {
			return
		}
		// Whatever was asked can be answered.
		var answer dnsmessage.Message
		for _, a := range [][]byte{legacyAnswer(m, "cellar.local.", ours), answerTo(m, "cellar.local.", ours), answerTo(m, "cellar.local.", nil)} {
			if err := answer.Unpack(a); err != nil {
				t.Fatal(err)
			}
		}
	})
}

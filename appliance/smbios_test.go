package appliance

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// oemStructure encodes an SMBIOS structure of type 11.
func oemStructure(strings []string) []byte {
	raw := []byte{11, 5, 0x34, 0x12, byte(len(strings))}
	for _, s := range strings {
		raw = append(append(raw, s...), 0)
	}
	return append(raw, 0)
}

func TestOEMStrings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.StringMatching(`[ -~]{1,40}`), 0, 10).Draw(t, "strings")
		got, err := parseOEMStrings(oemStructure(want))
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	})
}

func FuzzOEMStrings(f *testing.F) {
	f.Add(oemStructure([]string{"entroos.vsock_loopback=1", "x"}))
	f.Add([]byte{11, 5, 0, 0, 255, 'a'})
	f.Fuzz(func(t *testing.T, raw []byte) {
		found, err := parseOEMStrings(raw)
		if err == nil && len(found) != int(raw[4]) {
			t.Fatalf("%d strings of %d", len(found), raw[4])
		}
	})
}

package firmware

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Debian's packages have all that is asked for, and what is taken of them is
// whole.
func TestLoadPinned(t *testing.T) {
	set, err := Load(t.Context(), Pinned, func(text string) { t.Log(text) })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range realtekFiles {
		if len(set.Files["/lib/firmware/"+name]) == 0 {
			t.Errorf("no %s", name)
		}
	}
	for name, want := range map[string]string{
		"/usr/share/licenses/intel-microcode/license":    "Redistribution and use in binary form, without modification, are permitted",
		"/usr/share/licenses/firmware-realtek/copyright": "Permission is hereby granted for the distribution of this firmware",
	} {
		if !strings.Contains(string(set.Files[name]), want) {
			t.Errorf("%s is %q", name, set.Files[name])
		}
	}
	if len(set.Packages) != 2 || set.Packages[0].SHA256 != microcodePin.SHA256 || set.Packages[1].Version != realtekPin.Version {
		t.Errorf("the packages are %+v", set.Packages)
	}
	updates, err := readUpdates(set.Microcode)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Microcode) > 6<<20 {
		t.Errorf("%d bytes of microcode: is it the clients' alone?", len(set.Microcode))
	}
	has := map[uint32]int{}
	for _, u := range updates {
		has[u.signature()]++
	}
	for name, signature := range map[string]uint32{
		"i3-2100": 0x206a7, "i3-3220": 0x306a9, "i3-4130": 0x306c3, "i3-6100": 0x506e3, "i3-7100": 0x906e9, "i3-8100": 0x906eb,
		"i3-10100": 0xa0653, "i3-1115G4": 0x806c1, "i3-12100": 0x90672, "i3-13100": 0xb0671, "N100": 0xb06e0, "N5105": 0x906c0,
		"J4125": 0x706a8, "J3455": 0x506c9, "N3700": 0x406c3, "J1900": 0x30678,
	} {
		if has[signature] == 0 {
			// One update may be for several: their signatures are in its table.
			if !slices.ContainsFunc(updates, func(u update) bool { return slices.Contains(u.extended(), signature) }) {
				t.Errorf("nothing for the %s (%#x)", name, signature)
			}
		}
	}
	for name, signature := range map[string]uint32{"Xeon Gold 6148": 0x50654, "Xeon Platinum 8480": 0x806f8, "Xeon E5-2680": 0x206d7} {
		if has[signature] > 0 {
			t.Errorf("microcode for the %s (%#x)", name, signature)
		}
	}
}

// extended are the signatures of an update's table, after its data.
func (u update) extended() []uint32 {
	at := int(u.word(7)) + updateHeader
	if u.word(7) == 0 || at+20 > len(u) {
		return nil
	}
	var all []uint32
	for i := range int(binary.LittleEndian.Uint32(u[at:])) {
		all = append(all, binary.LittleEndian.Uint32(u[at+20+12*i:]))
	}
	return all
}

// Each package is asked for where it is, and of nothing that may be missing
// for another's sake; old versions at both archives that keep them.
func TestMirrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		wanted wanted
		choice Choice
		want   []string
	}{
		{"microcode", microcodeWanted, Pinned, []string{
			"own bookworm bookworm-updates + security bookworm-security", snapshot + " bookworm", archived + " bookworm",
		}},
		{"network cards", realtekWanted, Pinned, []string{
			"own bookworm-backports", snapshot + " bookworm-backports", archived + " bookworm-backports",
		}},
		{"newest microcode", microcodeWanted, Newest, []string{
			"own bookworm bookworm-updates + security bookworm-security", archived + " bookworm",
		}},
	} {
		var got []string
		for _, mirror := range test.wanted.mirrors(test.choice, "own", "security") {
			var sources []string
			for _, source := range mirror {
				if want := source.URI == snapshot || source.URI == archived; source.Old != want {
					t.Errorf("%s: %s is old: %t", test.name, source, source.Old)
				}
				sources = append(sources, source.URI+" "+strings.Join(source.Suites, " "))
			}
			got = append(got, strings.Join(sources, " + "))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s is asked for at %q, want %q", test.name, got, test.want)
		}
	}
}

func TestLoadChoices(t *testing.T) {
	if set, err := Load(t.Context(), None, nil); err != nil || len(set.Files)+len(set.Microcode)+len(set.Packages) != 0 {
		t.Errorf("none: %+v, %v", set, err)
	}
	if _, err := Load(t.Context(), "some", nil); err == nil || !strings.Contains(err.Error(), `"some"`) {
		t.Errorf("error is %v", err)
	}
}

// newUpdate makes an update of random data with a right checksum.
func newUpdate(signature, flags uint32, data []byte) update {
	u := make(update, updateHeader+len(data))
	for i, word := range []uint32{1, 1, 0x01022026, signature, 0, 1, flags, uint32(len(data)), uint32(len(u))} {
		binary.LittleEndian.PutUint32(u[4*i:], word)
	}
	copy(u[updateHeader:], data)
	sum := uint32(0)
	for at := 0; at < len(u); at += 4 {
		sum += binary.LittleEndian.Uint32(u[at:])
	}
	binary.LittleEndian.PutUint32(u[16:], -sum)
	return u
}

func TestClientMicrocode(t *testing.T) {
	client, second, server := newUpdate(0x206a7, 0x12, []byte("12345678")), newUpdate(0x206a7, 1, []byte("1234")), newUpdate(0x50654, 1, []byte("abcd"))
	got, err := clientMicrocode(map[string][]byte{
		"a": slices.Concat(client, server), "b": client, "c": second, "d": server,
	})
	if err != nil || string(got) != string(slices.Concat(second, client)) {
		t.Errorf("got %x (%v)", got, err)
	}
	if _, err := clientMicrocode(map[string][]byte{"d": server}); err == nil {
		t.Error("servers' alone are taken")
	}
	changed := slices.Clone(client)
	changed[updateHeader] ^= 1
	for name, file := range map[string][]byte{"changed": changed, "cut": client[:20], "cut data": client[:50], "text": []byte(strings.Repeat("x", 100))} {
		if _, err := clientMicrocode(map[string][]byte{"file": file}); err == nil || !strings.HasPrefix(err.Error(), "file: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is read, the updates are the file, one after the other.
func TestReadUpdates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var file []byte
		count := rapid.IntRange(0, 3).Draw(t, "count")
		for range count {
			words := rapid.SliceOfN(rapid.Uint32(), 1, 8).Draw(t, "data")
			var data []byte
			for _, word := range words {
				data = binary.LittleEndian.AppendUint32(data, word)
			}
			file = append(file, newUpdate(rapid.Uint32().Draw(t, "signature"), 1, data)...)
		}
		if rapid.Bool().Draw(t, "damage") && len(file) > 0 {
			file[rapid.IntRange(0, len(file)-1).Draw(t, "where")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			if got, err := readUpdates(file); err == nil {
				t.Fatalf("a damaged file gives %d updates", len(got))
			}
			return
		}
		got, err := readUpdates(file)
		if err != nil || len(got) != count {
			t.Fatalf("%d updates, want %d: %v", len(got), count, err)
		}
		var all []byte
		for _, u := range got {
			all = append(all, u...)
		}
		if string(all) != string(file) {
			t.Fatal("they are not the file")
		}
	})
}

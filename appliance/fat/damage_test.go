package fat_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/entroos/entroos/appliance/bootslot"
	"github.com/entroos/entroos/appliance/fat"
)

var slotRules = fat.Rules{Precious: bootslot.Precious, Later: bootslot.Later}

// shortEntry gives the place of the one directory entry of that 8.3 name.
func shortEntry(t *testing.T, disk []byte, name string) []byte {
	t.Helper()
	for at := 0; ; at += 32 {
		i := bytes.Index(disk[at:], []byte(name))
		if i < 0 {
			t.Fatalf("no entry %q", name)
		}
		if at += i; at%32 == 0 && disk[at+11]&0x3f != 0x0f {
			return disk[at : at+32]
		}
	}
}

// TestCutBlessing leaves both names of a rename: the blessed one is kept.
func TestCutBlessing(t *testing.T) {
	for _, first := range []string{"entroos_0.2.0+2-1.efi", "entroos_0.2.0.efi"} {
		second := "entroos_0.2.0.efi"
		if first == second {
			second = "entroos_0.2.0+2-1.efi"
		}
		i := newImage(t, kinds[0])
		i.m("mmd", "::EFI", "::EFI/Linux", "::EFI/BOOT")
		want := content(rand.New(rand.NewPCG(1, 1)), 5000)
		i.write("EFI/Linux/"+first, want)
		i.write("EFI/Linux/"+second, nil)
		// Between the two the disk may also have looked like this.
		i.verify(slotRules)
		disk := i.bytes()
		copy(shortEntry(t, disk, "ENTROO~2EFI")[20:], shortEntry(t, disk, "ENTROO~1EFI")[20:32])
		i.set(disk)
		if r := i.check(slotRules); r.Clean() {
			t.Error("a file of two names is found clean")
		}
		i.mend(slotRules)
		i.verify(slotRules)
		i.holds("EFI/Linux/entroos_0.2.0.efi", want)
		if names := i.m("mdir", "-b", "::EFI/Linux"); strings.Contains(names, "+2-1") {
			t.Errorf("the UKI on trial is still there: %s", names)
		}
	}
}

// damage is one fault of a populated FAT32 volume. Each is something that
// fsck.vfat finds too.
var damages = []struct {
	name string
	do   func(t *testing.T, disk []byte)
	left bool // it is not mended
}{
	{"dirty flag", func(_ *testing.T, d []byte) { d[0x41] |= 1 }, false},
	{"dirty flag in the FAT", func(_ *testing.T, d []byte) { eachFAT(d, func(f []byte) { f[7] &^= 8 }) }, false},
	{"lost clusters", func(_ *testing.T, d []byte) {
		eachFAT(d, func(f []byte) {
			le.PutUint32(f[4*40000:], 40001)
			le.PutUint32(f[4*40001:], 0x0fffffff)
		})
	}, false},
	{"a loop in the free space", func(_ *testing.T, d []byte) {
		eachFAT(d, func(f []byte) { le.PutUint32(f[4*40000:], 40000) })
	}, false},
	{"the copies differ", func(_ *testing.T, d []byte) {
		first, _ := fats(d)
		le.PutUint32(first[4*40000:], 0x0fffffff)
	}, false},
	{"the count of free clusters", func(_ *testing.T, d []byte) { le.PutUint32(d[512+488:], 7) }, false},
	{"FSInfo", func(_ *testing.T, d []byte) { clear(d[512:1024]) }, false},
	{"the boot sector's copy", func(_ *testing.T, d []byte) { clear(d[6*512 : 7*512]) }, false},
	{"the boot sector", func(_ *testing.T, d []byte) { clear(d[:512]) }, false},
	{"a chain too short", func(t *testing.T, d []byte) {
		s := shortEntry(t, d, "ENTROO~2EFI")
		eachFAT(d, func(f []byte) { le.PutUint32(f[4*start(s):], 0x0fffffff) })
	}, false},
	{"a chain to nowhere", func(t *testing.T, d []byte) {
		s := shortEntry(t, d, "ENTROO~2EFI")
		eachFAT(d, func(f []byte) { le.PutUint32(f[4*start(s):], 0x0ffffff0) })
	}, false},
	{"a chain into a precious file", func(t *testing.T, d []byte) {
		s, precious := shortEntry(t, d, "ENTROO~2EFI"), shortEntry(t, d, "ENTROO~1EFI")
		eachFAT(d, func(f []byte) { le.PutUint32(f[4*start(s):], start(precious)+3) })
	}, false},
	{"a size too small", func(t *testing.T, d []byte) { le.PutUint32(shortEntry(t, d, "ENTROO~2EFI")[28:], 1) }, false},
	{"a size of zero", func(t *testing.T, d []byte) { le.PutUint32(shortEntry(t, d, "ENTROO~2EFI")[28:], 0) }, false},
	{"a start of zero", func(t *testing.T, d []byte) {
		s := shortEntry(t, d, "ENTROO~2EFI")
		le.PutUint16(s[20:], 0)
		le.PutUint16(s[26:], 0)
	}, false},
	{"a long name without its file", func(t *testing.T, d []byte) { shortEntry(t, d, "ENTROO~2EFI")[0] = 0xe5 }, false},
	{"a folder never written", func(t *testing.T, d []byte) {
		s := shortEntry(t, d, "ENTROOS    ")
		at := data(d) + int(start(s)-2)*512
		copy(d[at:at+512], content(rand.New(rand.NewPCG(3, 3)), 512))
	}, false},
	{"a folder with a wrong parent", func(t *testing.T, d []byte) {
		s := shortEntry(t, d, "ENTROOS    ")
		d[data(d)+int(start(s)-2)*512+32+26] = 9
	}, false},
	{"a folder that points to a precious file", func(t *testing.T, d []byte) {
		copy(shortEntry(t, d, "ENTROOS    ")[26:28], shortEntry(t, d, "ENTROO~1EFI")[26:28])
	}, false},
	{"a folder that points to another", func(t *testing.T, d []byte) {
		copy(shortEntry(t, d, "ENTROOS    ")[26:28], shortEntry(t, d, "LOADER     ")[26:28])
	}, false},
	{"a precious file cut", func(t *testing.T, d []byte) {
		s := shortEntry(t, d, "ENTROO~1EFI")
		eachFAT(d, func(f []byte) { le.PutUint32(f[4*(start(s)+10):], 0x0fffffff) })
	}, true},
}

var le = binary.LittleEndian

func fatSize(disk []byte) int { return int(le.Uint32(disk[36:])) * 512 }
func data(disk []byte) int    { return int(le.Uint16(disk[14:]))*512 + 2*fatSize(disk) }

func fats(disk []byte) (first, second []byte) {
	at, size := int(le.Uint16(disk[14:]))*512, fatSize(disk)
	return disk[at : at+size], disk[at+size : at+2*size]
}

func eachFAT(disk []byte, f func([]byte)) {
	first, second := fats(disk)
	f(first)
	f(second)
}

func start(s []byte) uint32 { return uint32(le.Uint16(s[20:]))<<16 | uint32(le.Uint16(s[26:])) }

func TestDamages(t *testing.T) {
	base := newImage(t, kinds[0])
	files := base.populate(512)
	before := base.bytes()
	for _, damage := range damages {
		t.Run(damage.name, func(t *testing.T) {
			i := &image{t, base.path}
			disk := bytes.Clone(before)
			damage.do(t, disk)
			i.set(disk)
			if out, clean := i.fsck(); clean {
				t.Logf("fsck.vfat does not mind: %s", out)
			}
			report := i.mend(slotRules)
			t.Logf("%+v", report)
			if report.Clean() {
				t.Error("found clean")
			}
			if damage.left {
				if report.Left == 0 {
					t.Errorf("nothing is left")
				}
				if again := i.check(slotRules); again.Left != report.Left {
					t.Errorf("after mending: %+v", again)
				}
				return
			}
			i.verify(slotRules)
			for name, want := range files {
				if bootslot.Precious(name) {
					i.holds(name, want)
				}
			}
		})
	}
}

// TestTwins has two short names: the same but for case or in all is one name,
// while what stands beyond ASCII is a character of an unknown code page.
func TestTwins(t *testing.T) {
	for name, test := range map[string]struct {
		first, second string
		twins         bool
	}{
		"the same":            {"ABCD1   BIN", "ABCD1   BIN", true},
		"ASCII":               {"ABCD1   BIN", "ABCD3   BIN", false},
		"a byte beyond ASCII": {"ABCD\x80   BIN", "ABCD\x81   BIN", false},
		"UTF-8 by chance":     {"ABC\xc3\x84   BIN", "ABC\xc3\xa4   BIN", false},
		"the same beyond":     {"ABCD\x80   BIN", "ABCD\x80   BIN", true},
	} {
		t.Run(name, func(t *testing.T) {
			i := newImage(t, kinds[0])
			i.write("ABCD1.BIN", []byte("one"))
			i.write("ABCD2.BIN", []byte("two"))
			disk := i.bytes()
			first, second := shortEntry(t, disk, "ABCD1   BIN"), shortEntry(t, disk, "ABCD2   BIN")
			copy(first, test.first)
			copy(second, test.second)
			i.set(disk)
			if report := i.check(fat.Rules{}); report.Clean() == test.twins {
				t.Errorf("the check reports %+v", report)
			}
		})
	}
}

func TestNotFAT(t *testing.T) {
	random := content(rand.New(rand.NewPCG(4, 4)), 1<<20)
	for _, disk := range [][]byte{make([]byte, 1<<20), random, make([]byte, 512), nil} {
		if _, err := fat.Check(bytes.NewReader(disk), int64(len(disk)), fat.Rules{}); err == nil {
			t.Errorf("%d bytes of nothing are a file system", len(disk))
		} else if len(disk) > 4096 && !errors.Is(err, fat.ErrNotFAT) {
			t.Errorf("the error is %v", err)
		}
	}
}

// brokenDevice fails after so many writes.
type brokenDevice struct {
	*memory
	writes int
}

func (b *brokenDevice) WriteAt(p []byte, at int64) (int, error) {
	if b.writes--; b.writes < 0 {
		return 0, errors.New("write error")
	}
	return b.memory.WriteAt(p, at)
}

func TestWriteErrorsAreTold(t *testing.T) {
	i := newImage(t, kinds[2])
	i.populate(2048)
	disk := i.bytes()
	disk[0x25] |= 1
	for n := range 1 {
		d := &brokenDevice{newMemory(disk), n}
		if _, err := fat.Mend(d, int64(len(disk)), fat.Rules{}); err == nil || !strings.Contains(err.Error(), "write error") {
			t.Errorf("after %d writes: %v", n, err)
		}
	}
}

// memory is a device that keeps what is written beside a base that it shares.
type memory struct {
	base    []byte
	sectors map[int64]*[512]byte
}

func newMemory(base []byte) *memory {
	return &memory{base, make(map[int64]*[512]byte)}
}

func (m *memory) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(p)) > int64(len(m.base)) {
		return 0, io.ErrUnexpectedEOF
	}
	copy(p, m.base[at:])
	for s := at / 512 * 512; s < at+int64(len(p)); s += 512 {
		if changed := m.sectors[s]; changed != nil {
			from, to := max(s, at), min(s+512, at+int64(len(p)))
			copy(p[from-at:to-at], changed[from-s:])
		}
	}
	return len(p), nil
}

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	for i, b := range p {
		s := (at + int64(i)) / 512 * 512
		if m.sectors[s] == nil {
			m.sectors[s] = new([512]byte)
			copy(m.sectors[s][:], m.base[s:])
		}
		m.sectors[s][at+int64(i)-s] = b
	}
	return len(p), nil
}

func (m *memory) Sync() error { return nil }

// FuzzMend changes bytes of a populated file system anywhere in its metadata:
// mending ends, and leaves nothing that it could mend. The input is a list of
// changes, each a place (3 bytes) and a value.
func FuzzMend(f *testing.F) {
	var bases [][]byte
	for _, k := range kinds[:1] {
		i := newImage(f, k)
		i.populate(k.cluster)
		bases = append(bases, i.bytes())
	}
	small := newImage(f, kind{mkfs: []string{"-F", "16", "-s", "1"}, kib: 2500})
	small.populate(512)
	bases = append(bases, small.bytes())
	f.Add([]byte{0, 0, 11, 0})
	f.Add([]byte{0, 0x40, 8, 5, 0, 0x40, 12, 4})
	f.Add([]byte{0, 2, 13, 0, 0, 2, 13, 1})
	f.Fuzz(func(t *testing.T, changes []byte) {
		for _, base := range bases {
			m := newMemory(base)
			for c := changes; len(c) >= 4; c = c[4:] {
				// The FATs and the first clusters, where the folders are.
				at := (int64(c[0])<<16 | int64(c[1])<<8 | int64(c[2])) % min(int64(len(base)), 1<<20)
				if _, err := m.WriteAt(c[3:4], at); err != nil {
					t.Fatal(err)
				}
			}
			report, err := fat.Mend(m, int64(len(base)), slotRules)
			if err != nil {
				continue
			}
			again, err := fat.Check(m, int64(len(base)), slotRules)
			if err != nil {
				t.Fatalf("after mending: %v; mended %+v", err, report)
			}
			if again.Left != len(again.Faults)+again.More {
				t.Fatalf("mending left %+v; mended %+v", again, report)
			}
		}
	})
}

package appliance

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/u-root/u-root/pkg/efivarfs"

	"github.com/entroos/entroos/appliance/blockdev"
)

// nvram is a store of EFI variables in memory.
type nvram map[efivarfs.VariableDescriptor][]byte

func (n nvram) Get(d efivarfs.VariableDescriptor) (efivarfs.VariableAttributes, []byte, error) {
	if data, ok := n[d]; ok {
		return bootVariables, data, nil
	}
	return 0, nil, efivarfs.ErrVarNotExist
}

func (n nvram) List() ([]efivarfs.VariableDescriptor, error) {
	return slices.Collect(maps.Keys(n)), nil
}

func (n nvram) Remove(d efivarfs.VariableDescriptor) error {
	delete(n, d)
	return nil
}

func (n nvram) Set(d efivarfs.VariableDescriptor, _ efivarfs.VariableAttributes, data []byte) error {
	n[d] = data
	return nil
}

func diskWithESP(id string) *blockdev.Table {
	t := blockdev.NewTable(512)
	t.Partitions = []blockdev.Partition{{Number: 1, Type: blockdev.TypeESP, GUID: uuid.MustParse(id), First: 2048, Last: 526335}}
	return t
}

func TestBootEntry(t *testing.T) {
	order := efivarfs.VariableDescriptor{Name: "BootOrder", GUID: efiGlobal}
	other := []byte("\x01\x00\x00\x00 some other system")
	vars := nvram{
		order: orderBytes([]uint16{3, 1}), bootVariable(1): other, bootVariable(3): other,
		{Name: "Boot00G0", GUID: efiGlobal}:          nil,
		{Name: "Boot0000", GUID: uuid.Nil}:           nil,
		{Name: "BootOptionSupport", GUID: efiGlobal}: nil,
	}
	first := diskWithESP("11111111-2222-4333-8444-555555555555")
	if name, err := addBootEntry(vars, first, nil); err != nil || name != "Boot0000" {
		t.Fatalf("%s, %v", name, err)
	}
	if got, _ := bootOrder(vars); !slices.Equal(got, []uint16{0, 3, 1}) {
		t.Errorf("order %v", got)
	}
	// What `efibootmgr -v` shows as
	// EntroOS HD(1,GPT,11111111-2222-4333-8444-555555555555,0x800,0x80000)/File(\EFI\BOOT\BOOTX64.EFI)
	want := "01000000" + "5e00" + hex.EncodeToString(utf16z("EntroOS")) +
		"04012a00" + "01000000" + "0008000000000000" + "0000080000000000" + "11111111222233438444555555555555" + "0202" +
		"04043000" + hex.EncodeToString(utf16z(`\EFI\BOOT\BOOTX64.EFI`)) + "7fff0400"
	got := vars[bootVariable(0)]
	if hex.EncodeToString(got) != want {
		t.Errorf("load option\n%x, want\n%s", got, want)
	}
	if n := binary.LittleEndian.Uint16(got[4:]); int(n) != len(got)-6-len(utf16z("EntroOS")) {
		t.Errorf("the path's length is %d", n)
	}
	// The same disk installed again: the old entry goes, the others stay.
	second := diskWithESP("66666666-2222-4333-8444-555555555555")
	if name, err := addBootEntry(vars, second, first.Partitions); err != nil || name != "Boot0000" {
		t.Fatalf("%s, %v", name, err)
	}
	if got, _ := bootOrder(vars); !slices.Equal(got, []uint16{0, 3, 1}) {
		t.Errorf("order %v", got)
	}
	if strings.Contains(string(vars[bootVariable(0)]), "\x11\x11\x11\x11") || string(vars[bootVariable(1)]) != string(other) {
		t.Errorf("entries %q", vars)
	}
	if _, err := addBootEntry(nvram{}, second, nil); err != nil {
		t.Errorf("a firmware without entries: %v", err)
	}
}

func TestVariablesAreReadOnlyAgain(t *testing.T) {
	broken := errors.New("broken")
	for name, f := range map[string]func() error{
		"well":   func() error { return nil },
		"fails":  func() error { return broken },
		"panics": func() error { panic(broken) },
	} {
		writable := false
		func() {
			defer func() { _ = recover() }() // of the one that panics
			err := whileWritable(func(w bool) error { writable = w; return nil }, func() error {
				if !writable {
					t.Errorf("%s: not writable meanwhile", name)
				}
				return f()
			})
			if errors.Is(err, broken) != (name == "fails") {
				t.Errorf("%s: %v", name, err)
			}
		}()
		if writable {
			t.Errorf("%s: still writable", name)
		}
	}
}

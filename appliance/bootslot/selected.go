package bootslot

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf16"

	"github.com/google/uuid"
	"github.com/u-root/u-root/pkg/efivarfs"
)

// ErrNotTold says that the boot loader did not tell what it started, or that it
// is none of EntroOS's UKIs.
var ErrNotTold = errors.New("the boot loader did not tell which UKI it started")

// loaderGUID is that of the variables of systemd's Boot Loader Interface.
var loaderGUID = uuid.MustParse("4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")

// Selected is the UKI that the boot loader started, as it told: by the name
// that it gave the file when it counted this boot (LoaderBootCountPath), or that
// of its menu's entry (LoaderEntrySelected).
func Selected() (UKI, error) {
	vars, err := efivarfs.New()
	if err != nil {
		return UKI{}, fmt.Errorf("%w: %w", ErrNotTold, err)
	}
	for _, name := range []string{"LoaderBootCountPath", "LoaderEntrySelected"} {
		_, data, err := vars.Get(efivarfs.VariableDescriptor{Name: name, GUID: loaderGUID})
		if errors.Is(err, efivarfs.ErrVarNotExist) || errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return UKI{}, fmt.Errorf("%w: EFI variable %s: %w", ErrNotTold, name, err)
		}
		path := DecodeUTF16(data)
		uki, ok := ParseName(path[strings.LastIndexByte(path, '\\')+1:])
		if !ok {
			return UKI{}, fmt.Errorf("%w: it names %q", ErrNotTold, path)
		}
		return uki, nil
	}
	return UKI{}, fmt.Errorf("%w (EFI variable LoaderEntrySelected)", ErrNotTold)
}

// DecodeUTF16 decodes an EFI variable's text, a zero-terminated little-endian
// UTF-16 string.
func DecodeUTF16(b []byte) string {
	var units []uint16
	for ; len(b) >= 2 && (b[0] != 0 || b[1] != 0); b = b[2:] {
		units = append(units, uint16(b[0])|uint16(b[1])<<8)
	}
	return string(utf16.Decode(units))
}

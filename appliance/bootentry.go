package appliance

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf16"

	"github.com/google/uuid"
	"github.com/u-root/u-root/pkg/efivarfs"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/appliance/blockdev"
)

// The firmware's own boot entries: UEFI specification, sections 3.1.3 (load
// options), 3.3 (variables) and 10.3.5 (media device paths).
const (
	entryName   = "EntroOS"
	loaderPath  = `\EFI\BOOT\BOOTX64.EFI`
	activeEntry = 1 // LOAD_OPTION_ACTIVE

	bootVariables = efivarfs.AttributeNonVolatile | efivarfs.AttributeBootserviceAccess | efivarfs.AttributeRuntimeAccess

	mediaPath    = 4
	hardDrive    = 1 // of mediaPath
	filePath     = 4 // of mediaPath
	endPath      = 0x7f
	endWhole     = 0xff // of endPath
	gptFormat    = 2
	guidSigned   = 2
	hardDriveLen = 42
)

var efiGlobal = uuid.MustParse("8be4df61-93ca-11d2-aa0d-00e098032b8c")

// tellFirmware makes a boot entry for a disk's ESP and puts it first; many
// firmwares start nothing from a fixed disk of which no entry tells. Entries for
// the partitions that the disk had before go.
func tellFirmware(disk *blockdev.Table, replaced []blockdev.Partition) (entry string, err error) {
	err = withWritableEFI(func() error {
		vars, err := efivarfs.New()
		if err == nil {
			entry, err = addBootEntry(vars, disk, replaced)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("the firmware was not told of the disk: %w; if it does not start from it, choose the disk in the firmware's boot menu", err)
	}
	return entry, nil
}

// efiWritable is held while EFI variables can be written.
var efiWritable sync.Mutex

// withWritableEFI mounts the EFI variables writable for as long as f takes: what
// writes to them by mistake can break a machine for good.
func withWritableEFI(f func() error) error {
	efiWritable.Lock()
	defer efiWritable.Unlock()
	return whileWritable(func(writable bool) error {
		flags := uintptr(unix.MS_REMOUNT | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
		if !writable {
			flags |= unix.MS_RDONLY
		}
		return unix.Mount("", efivarfs.DefaultVarFS, "", flags, "")
	}, f)
}

// whileWritable runs f between two remounts, the second one also when f panics.
func whileWritable(remount func(writable bool) error, f func() error) (err error) {
	if err := remount(true); err != nil {
		return fmt.Errorf("making its variables writable: %w", err)
	}
	defer func() {
		if rerr := remount(false); rerr != nil {
			err = errors.Join(err, fmt.Errorf("making its variables read-only again: %w", rerr))
		}
	}()
	return f()
}

// addBootEntry is tellFirmware on any store of EFI variables.
func addBootEntry(vars efivarfs.EFIVar, disk *blockdev.Table, replaced []blockdev.Partition) (string, error) {
	esp := disk.Partition(PartitionESP)
	if esp == nil {
		return "", errors.New("the disk has no EFI system partition")
	}
	entries, err := bootEntries(vars)
	if err != nil {
		return "", err
	}
	order, err := bootOrder(vars)
	if err != nil {
		return "", err
	}
	for number, option := range entries {
		for _, p := range replaced {
			if !strings.Contains(string(option), string(hardDriveNode(p))) {
				continue
			}
			if err := vars.Remove(bootVariable(number)); err != nil {
				return "", fmt.Errorf("%s: %w", bootVariable(number).Name, err)
			}
			delete(entries, number)
			order = slices.DeleteFunc(order, func(n uint16) bool { return n == number })
			break
		}
	}
	number := uint16(0)
	for entries[number] != nil {
		number++
	}
	v := bootVariable(number)
	if err := vars.Set(v, bootVariables, loadOption(*esp)); err != nil {
		return "", fmt.Errorf("%s: %w", v.Name, err)
	}
	order = append([]uint16{number}, slices.DeleteFunc(order, func(n uint16) bool { return n == number })...)
	if err := vars.Set(efivarfs.VariableDescriptor{Name: "BootOrder", GUID: efiGlobal}, bootVariables, orderBytes(order)); err != nil {
		return "", fmt.Errorf("BootOrder: %w", err)
	}
	return v.Name, nil
}

func bootVariable(number uint16) efivarfs.VariableDescriptor {
	return efivarfs.VariableDescriptor{Name: fmt.Sprintf("Boot%04X", number), GUID: efiGlobal}
}

// bootEntries gives the load options by their numbers.
func bootEntries(vars efivarfs.EFIVar) (map[uint16][]byte, error) {
	all, err := vars.List()
	if err != nil {
		return nil, err
	}
	entries := make(map[uint16][]byte)
	for _, d := range all {
		var number uint16
		if _, err := fmt.Sscanf(d.Name, "Boot%04X", &number); err != nil || d.GUID != efiGlobal || bootVariable(number).Name != d.Name {
			continue
		}
		_, option, err := vars.Get(d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Name, err)
		}
		entries[number] = append([]byte{}, option...)
	}
	return entries, nil
}

// bootOrder gives the numbers of the entries in the order in which the firmware
// tries them.
func bootOrder(vars efivarfs.EFIVar) ([]uint16, error) {
	_, data, err := vars.Get(efivarfs.VariableDescriptor{Name: "BootOrder", GUID: efiGlobal})
	if errors.Is(err, efivarfs.ErrVarNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("BootOrder: %w", err)
	}
	var order []uint16
	for ; len(data) >= 2; data = data[2:] {
		order = append(order, binary.LittleEndian.Uint16(data))
	}
	return order, nil
}

func orderBytes(order []uint16) []byte {
	var b []byte
	for _, n := range order {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return b
}

// loadOption is what Boot#### holds for the boot loader on an ESP.
func loadOption(esp blockdev.Partition) []byte {
	le := binary.LittleEndian
	path := slices.Concat(hardDriveHeader(), hardDriveNode(esp))
	name := utf16z(loaderPath)
	path = append(path, mediaPath, filePath)
	path = le.AppendUint16(path, uint16(4+len(name)))
	path = append(path, name...)
	path = append(path, endPath, endWhole, 4, 0)
	option := le.AppendUint32(nil, activeEntry)
	option = le.AppendUint16(option, uint16(len(path)))
	option = append(option, utf16z(entryName)...)
	return append(option, path...)
}

func hardDriveHeader() []byte {
	return binary.LittleEndian.AppendUint16([]byte{mediaPath, hardDrive}, hardDriveLen)
}

// hardDriveNode is what a device path says of a partition, without the node's
// header.
func hardDriveNode(p blockdev.Partition) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, uint32(p.Number))
	b = le.AppendUint64(b, p.First)
	b = le.AppendUint64(b, p.Last-p.First+1)
	b = append(b, blockdev.EncodeGUID(p.GUID)...)
	return append(b, gptFormat, guidSigned)
}

// utf16z is a zero-terminated little-endian UTF-16 string.
func utf16z(s string) []byte {
	var b []byte
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

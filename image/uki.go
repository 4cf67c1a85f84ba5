package image

import (
	"context"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ukiContents is what a UKI is made of.
type ukiContents struct {
	OSRelease   string
	CommandLine string
	Kernel      string // path of the bzImage
	Initramfs   string // path
}

// maxCommandLine is x86's COMMAND_LINE_SIZE without the closing zero.
const maxCommandLine = 2047

// checkCommandLine refuses what the kernel would cut off or misread.
func checkCommandLine(line string) error {
	if len(line) > maxCommandLine {
		return fmt.Errorf("the kernel's command line has %d bytes: at most %d are read", len(line), maxCommandLine)
	}
	for _, r := range line {
		if r < ' ' || r > '~' {
			return fmt.Errorf("the kernel's command line has the character %q: only printable ASCII is read", r)
		}
	}
	return nil
}

// sectionAlignment is what UEFI firmware maps sections by: a page.
const sectionAlignment = 4096

// writeUKI writes a UKI to output: systemd's stub with the parts as further
// sections. Each section begins where the one before it ends in memory.
func writeUKI(ctx context.Context, output string, contents ukiContents) (err error) {
	osRelease := output + ".osrel"
	commandLine := output + ".cmdline"
	defer func() {
		for _, path := range []string{osRelease, commandLine} {
			if removeErr := os.Remove(path); !errors.Is(removeErr, os.ErrNotExist) {
				err = errors.Join(err, removeErr)
			}
		}
	}()
	if err := os.WriteFile(osRelease, []byte(contents.OSRelease), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(commandLine, []byte(strings.TrimSpace(contents.CommandLine)+"\x00"), 0o644); err != nil {
		return err
	}
	address, err := firstFreeAddress(bootStub)
	if err != nil {
		return fmt.Errorf("reading %s: %w", bootStub, err)
	}
	kernelSize, err := loadedSize(contents.Kernel)
	if err != nil {
		return fmt.Errorf("the kernel %s: %w", contents.Kernel, err)
	}
	var args []string
	for _, section := range []struct {
		name, path string
		size       uint64 // in memory; 0 for the file's size
	}{
		{name: ".osrel", path: osRelease},
		{name: ".cmdline", path: commandLine},
		{name: ".linux", path: contents.Kernel, size: kernelSize},
		{name: ".initrd", path: contents.Initramfs},
	} {
		info, err := os.Stat(section.path)
		if err != nil {
			return err
		}
		// objcopy takes no equals sign in a path.
		if strings.Contains(section.path, "=") {
			return fmt.Errorf("%s: the path of a part of the UKI must not have an equals sign", section.path)
		}
		args = append(args,
			"--add-section", section.name+"="+section.path,
			"--change-section-vma", fmt.Sprintf("%s=%#x", section.name, address))
		address = align(address+max(section.size, uint64(info.Size())), sectionAlignment)
	}
	if address > 1<<31 {
		return fmt.Errorf("the UKI would take %d MiB in memory: more than firmware maps", address>>20)
	}
	if err := run(ctx, command{name: "objcopy", args: append(args, bootStub, filepath.Clean(output))}); err != nil {
		return err
	}
	if err := stampPE(output, uint32(epoch.Unix())); err != nil {
		return fmt.Errorf("setting the UKI's time: %w", err)
	}
	// objcopy gives it the stub's permissions.
	return os.Chmod(output, 0o644)
}

// stampPE sets a PE file's time of linking, for which objcopy takes the time of
// day, and its checksum.
func stampPE(path string, seconds uint32) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const (
		headerPointer  = 0x3c    // in the DOS header: where "PE\0\0" is
		timeOffset     = 4 + 4   // after the signature, in the file header
		checksumOffset = 24 + 64 // after the file header, in the optional one
	)
	if len(data) < headerPointer+4 {
		return errors.New("not a PE file")
	}
	header := int(binary.LittleEndian.Uint32(data[headerPointer:]))
	if header < 0 || header > len(data)-checksumOffset-4 {
		return errors.New("not a PE file")
	}
	binary.LittleEndian.PutUint32(data[header+timeOffset:], seconds)
	checksum := data[header+checksumOffset : header+checksumOffset+4]
	clear(checksum)
	binary.LittleEndian.PutUint32(checksum, checksumPE(data))
	return os.WriteFile(path, data, 0o644)
}

// checksumPE is the checksum of a PE file whose checksum field is zero: the
// 16-bit one's complement sum of its words, plus its length.
func checksumPE(data []byte) uint32 {
	sum := uint32(0)
	for i := 0; i < len(data); i += 2 {
		word := uint32(data[i])
		if i+1 < len(data) {
			word |= uint32(data[i+1]) << 8
		}
		sum += word
		sum = sum&0xffff + sum>>16
	}
	return sum + uint32(len(data))
}

// firstFreeAddress is the first page after all sections of a PE file, with its
// image base, as objcopy counts.
func firstFreeAddress(path string) (uint64, error) {
	file, err := pe.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	header, ok := file.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		return 0, errors.New("not a 64-bit UEFI program")
	}
	end := uint64(0)
	for _, section := range file.Sections {
		end = max(end, uint64(section.VirtualAddress)+uint64(max(section.VirtualSize, section.Size)))
	}
	return align(header.ImageBase+end, sectionAlignment), nil
}

// loadedSize is how much memory a kernel takes as a UEFI program, which is more
// than its file: what it unpacks to must not lie over the initramfs.
func loadedSize(path string) (uint64, error) {
	file, err := pe.Open(path)
	if err != nil {
		var notThere *fs.PathError
		if errors.As(err, &notThere) {
			return 0, err
		}
		return 0, fmt.Errorf("not a kernel with a UEFI stub: %w", err)
	}
	defer file.Close()
	header, ok := file.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		return 0, errors.New("not a 64-bit kernel with a UEFI stub")
	}
	return uint64(header.SizeOfImage), nil
}

// align rounds up to a multiple of a power of two.
func align(n, to uint64) uint64 {
	return (n + to - 1) &^ (to - 1)
}

package image

import (
	"context"
	"fmt"
	"os"
	"strconv"
)

// loaderConfiguration is systemd-boot's: the newest UKI at once; a key held
// while the box starts shows the others.
const loaderConfiguration = "timeout 0\neditor no\n"

// writeESP makes the EFI system partition: boot loader, its configuration, and
// the UKI. The UKI of an image has no boot counter: it is not on trial.
func writeESP(ctx context.Context, disk string, contents diskContents) (err error) {
	if err := makeFAT(ctx, disk, fatVolume{
		// Clusters of 2 KiB: of 4 KiB there would be too few for FAT32.
		Offset: espOffset, Size: espSize, Bits: 32, SectorsPerCluster: 4,
		Label: "ESP", ID: espVolumeID,
	}); err != nil {
		return err
	}
	configuration := disk + ".loader"
	if err := os.WriteFile(configuration, []byte(loaderConfiguration), 0o644); err != nil {
		return err
	}
	volume := fmt.Sprintf("%s@@%d", disk, espOffset)
	if err := run(ctx, command{name: "mmd", args: []string{"-i", volume, "::EFI", "::EFI/BOOT", "::EFI/Linux", "::loader"}}); err != nil {
		return err
	}
	for _, file := range []struct{ from, to string }{
		{bootLoader, "EFI/BOOT/BOOTX64.EFI"},
		{configuration, "loader/loader.conf"},
		{contents.UKI, "EFI/Linux/entroos_" + contents.Version + ".efi"},
	} {
		if err := run(ctx, command{name: "mcopy", args: []string{"-i", volume, file.from, "::" + file.to}}); err != nil {
			return fmt.Errorf("%s: %w", file.to, err)
		}
	}
	return os.Remove(configuration)
}

// fatVolume is a FAT file system within a disk image.
type fatVolume struct {
	Offset, Size      int64 // bytes
	Bits              int   // 16 or 32
	SectorsPerCluster int
	Label             string
	ID                string // 8 hexadecimal digits
}

// makeFAT makes an empty FAT file system.
func makeFAT(ctx context.Context, disk string, v fatVolume) error {
	return run(ctx, command{name: "mkfs.vfat", args: []string{
		"--invariant", "-F", strconv.Itoa(v.Bits), "-s", strconv.Itoa(v.SectorsPerCluster), "-n", v.Label, "-i", v.ID,
		"-h", strconv.FormatInt(v.Offset/sector, 10),
		"--offset", strconv.FormatInt(v.Offset/sector, 10), disk, strconv.FormatInt(v.Size/1024, 10),
	}})
}

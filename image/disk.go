package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// The disk's layout. Partitions begin and end on whole MiB. The numbers 1, 2 and
// 4 are gokrazy's.
const (
	mebibyte = 1 << 20
	sector   = 512

	espNumber      = 1
	settingsNumber = 2
	dataNumber     = 4

	firstOffset  = 1 * mebibyte // before it: protective MBR and GPT
	espSize      = 256 * mebibyte
	settingsSize = 16 * mebibyte
	tailSize     = 1 * mebibyte // for the backup GPT

	espOffset      = firstOffset
	settingsOffset = espOffset + espSize
	dataOffset     = settingsOffset + settingsSize

	minDataSize = 256 * mebibyte // the journal alone is 64 MiB, and may be a half at most
	maxDataSize = 1 << 40
)

// The identities of the image. Every disk that it is written to gets fresh ones:
// flash, install and the first boot see to that.
const (
	diskGUID     = "E4705050-0000-4000-8000-000000000000"
	espGUID      = "E4705050-0000-4000-8000-000000000001"
	settingsGUID = "E4705050-0000-4000-8000-000000000002"
	dataGUID     = "E4705050-0000-4000-8000-000000000004"
	dataUUID     = "e4705050-0000-4000-8000-000000000014"
	hashSeed     = "e4705050-0000-4000-8000-000000000024"

	espVolumeID      = "e4700001"
	settingsVolumeID = "e4700002"
)

// diskContents is what a disk image is made of.
type diskContents struct {
	Version  string
	UKI      string // path
	DataSize int64  // bytes
}

// writeDisk writes the disk image, sparse.
func writeDisk(ctx context.Context, output string, contents diskContents) error {
	size := dataOffset + contents.DataSize + tailSize
	if err := createSparse(output, size); err != nil {
		return err
	}
	if err := writePartitions(ctx, output, contents.DataSize); err != nil {
		return fmt.Errorf("partitioning: %w", err)
	}
	if err := writeESP(ctx, output, contents); err != nil {
		return fmt.Errorf("the EFI system partition: %w", err)
	}
	if err := makeFAT(ctx, output, fatVolume{
		Offset: settingsOffset, Size: settingsSize, Bits: 16, SectorsPerCluster: 4,
		Label: "ENTROOS", ID: settingsVolumeID,
	}); err != nil {
		return fmt.Errorf("the settings partition: %w", err)
	}
	if err := makeData(ctx, output, dataOffset, contents.DataSize); err != nil {
		return fmt.Errorf("the data partition: %w", err)
	}
	return nil
}

// createSparse makes an empty file that reads as zeroes.
func createSparse(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(size), file.Close())
}

// writePartitions writes protective MBR, GPT and backup GPT.
func writePartitions(ctx context.Context, disk string, dataSize int64) error {
	args := []string{"--clear", "--disk-guid=" + diskGUID, "--set-alignment=1"}
	for _, p := range []struct {
		number       int
		offset, size int64
		kind         string
		guid, name   string
	}{
		{espNumber, espOffset, espSize, "ef00", espGUID, "EntroOS ESP"},
		// Basic data, so that every desktop offers it.
		{settingsNumber, settingsOffset, settingsSize, "0700", settingsGUID, "EntroOS settings"},
		{dataNumber, dataOffset, dataSize, "8300", dataGUID, "EntroOS data"},
	} {
		number := strconv.Itoa(p.number)
		args = append(args,
			fmt.Sprintf("--new=%s:%d:%d", number, p.offset/sector, (p.offset+p.size)/sector-1),
			"--typecode="+number+":"+p.kind,
			"--partition-guid="+number+":"+p.guid,
			"--change-name="+number+":"+p.name)
	}
	return run(ctx, command{name: "sgdisk", args: append(args, disk)})
}

// makeData makes the data partition's ext4 as a box of any size needs it: mke2fs
// gives small disks 1 KiB blocks and a journal that never grows, so both are
// said here, and room is kept for growing to 8 TiB.
func makeData(ctx context.Context, disk string, offset, size int64) error {
	extended := fmt.Sprintf("offset=%d,resize=%d,hash_seed=%s,lazy_itable_init=0,lazy_journal_init=0", offset, int64(8<<40)/4096, hashSeed)
	return run(ctx, command{name: "mke2fs", args: []string{
		"-q", "-F", "-t", "ext4", "-b", "4096", "-i", "16384", "-J", "size=64", "-e", "remount-ro",
		"-O", "metadata_csum_seed", "-U", dataUUID, "-L", "entroos-data", "-E", extended,
		disk, strconv.FormatInt(size/4096, 10),
	}})
}

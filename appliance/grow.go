package appliance

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/entroos/entroos/appliance/blockdev"
)

// settle makes a disk that the image was written to its box's own, before
// anything on it is mounted: identities that every copy of the image has become
// fresh ones, and the data partition as large as the disk. A table of which one
// copy is lost gets it back. It changes nothing on a disk that is settled.
func (d *Disk) settle() error {
	f, err := os.OpenFile(d.Device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := blockdev.Size(f)
	if err != nil {
		return err
	}
	sector, err := blockdev.SectorSize(f)
	if err != nil {
		return err
	}
	table, err := blockdev.ReadTable(f, size, sector)
	if err != nil {
		return fmt.Errorf("%s: %w", d.Device, err)
	}
	whole := table.Complete()
	renewed, grown := table.Renew(), table.Grow(PartitionData, size, blockdev.MaxData)
	if renewed || grown || !whole {
		if err := table.Write(f, size); err != nil {
			return fmt.Errorf("%s: %w", d.Device, err)
		}
		slog.Info("partition table written", "disk", d.Device, "new identities", renewed, "grown", grown, "both copies were there", whole)
	}
	if esp := table.Partition(PartitionESP); esp != nil {
		d.BootPartition = esp.GUID.String()
	}
	data := table.Partition(PartitionData)
	if data == nil {
		return fmt.Errorf("%s has no partition %d any more", d.Device, PartitionData)
	}
	// The kernel may have read the table before an earlier boot's power cut
	// grew it, so it is told whenever it thinks otherwise.
	known, err := deviceSize(d.Partitions[PartitionData])
	if err != nil || known == table.Size(data) {
		return err
	}
	return blockdev.ResizePartition(f, PartitionData, table.Offset(data), table.Size(data))
}

func deviceSize(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return blockdev.Size(f)
}

// growData grows the mounted data file system to its partition, and gives it a
// UUID of its own when it has the image's.
func growData(device string) error {
	partition, err := os.Open(device)
	if err != nil {
		return err
	}
	defer partition.Close()
	id, have, err := blockdev.ReadExt4(partition)
	if err != nil {
		return err
	}
	size, err := blockdev.Size(partition)
	if err != nil {
		return err
	}
	folder, err := os.Open(PermPath)
	if err != nil {
		return err
	}
	defer folder.Close()
	if blockdev.OfImage(id) {
		id = uuid.New()
		if err := blockdev.RenameExt4(folder, id); err != nil {
			return err
		}
		slog.Info("data partition named", "uuid", id.String())
	}
	// A last block group too small for its own tables stays unused.
	const least = 16 << 20
	if size-have < least {
		return nil
	}
	begin := time.Now()
	if err := blockdev.GrowExt4(folder, uint64(min(size, blockdev.MaxData)/blockdev.Ext4BlockSize)); err != nil {
		return fmt.Errorf("the data partition stays at %d MiB of %d: %w", have>>20, size>>20, err)
	}
	slog.Info("data partition grown", "from MiB", have>>20, "to MiB", size>>20, "seconds", fmt.Sprintf("%.1f", time.Since(begin).Seconds()))
	return nil
}

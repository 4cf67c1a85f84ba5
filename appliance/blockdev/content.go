package blockdev

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// Empty is the Content of a disk on which nothing is found.
const Empty = "empty"

// Content says in plain words what is on a disk of that size in bytes, as far as
// its beginning tells: "EntroOS", "GPT, 3 partitions", Empty and the like.
func Content(disk io.ReaderAt, size, sectorSize int64) string {
	table, err := ReadTable(disk, size, sectorSize)
	if err == nil {
		if p := table.Partition(4); p != nil && strings.HasPrefix(p.name(), "EntroOS") {
			return "EntroOS"
		}
		return "GPT, " + count(len(table.Partitions), "partition")
	}
	head := make([]byte, min(size, 1<<20))
	if _, err := disk.ReadAt(head, 0); err != nil {
		return "unreadable: " + err.Error()
	}
	switch {
	case zeroes(head):
		return Empty
	case len(head) > 0x10000+0x48 && bytes.Equal(head[0x10040:0x10048], []byte("_BHRfS_M")):
		return "btrfs"
	case head[1024+ext4Magic] == 0x53 && head[1024+ext4Magic+1] == 0xef:
		return "ext4"
	case string(head[:4]) == "XFSB":
		return "XFS"
	case string(head[3:11]) == "NTFS    ":
		return "NTFS"
	case string(head[:4]) == "LUKS":
		return "LUKS"
	case string(head[82:87]) == "FAT32", string(head[54:57]) == "FAT":
		return "FAT"
	case head[510] == 0x55 && head[511] == 0xaa:
		partitions := 0
		for i := range 4 {
			if head[446+16*i+4] != 0 {
				partitions++
			}
		}
		return "MBR, " + count(partitions, "partition")
	}
	return "something unknown"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// name is the partition's name.
func (p *Partition) name() string {
	var units []uint16
	for i := 0; i < len(p.Name) && (p.Name[i] != 0 || p.Name[i+1] != 0); i += 2 {
		units = append(units, uint16(p.Name[i])|uint16(p.Name[i+1])<<8)
	}
	return string(utf16.Decode(units))
}

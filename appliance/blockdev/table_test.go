package blockdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

const mib = 1 << 20

// memory is a disk in memory that loses power: what was written and not synced
// is kept sector by sector, or not, as chance has it; the power ends after a
// number of sectors.
type memory struct {
	content []byte
	pending []pendingSector
	left    int // sectors until the power is cut; -1 is never
	chance  *rand.Rand
	dead    bool
}

type pendingSector struct {
	at   int64
	data []byte
}

var errNoPower = errors.New("the power is cut")

func (m *memory) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(m.content).ReadAt(p, at)
}

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if m.dead {
		return 0, errNoPower
	}
	for i := 0; i < len(p); i += 512 {
		if m.left == 0 {
			m.cut()
			return i, errNoPower
		}
		m.left--
		end := min(i+512, len(p))
		old := bytes.Clone(m.content[at+int64(i) : at+int64(end)])
		m.pending = append(m.pending, pendingSector{at + int64(i), old})
		copy(m.content[at+int64(i):], p[i:end])
	}
	return len(p), nil
}

func (m *memory) Sync() error {
	if m.dead {
		return errNoPower
	}
	m.pending = nil
	return nil
}

// cut takes back sectors that were not synced: any of them.
func (m *memory) cut() {
	m.dead = true
	for i := len(m.pending) - 1; i >= 0; i-- {
		if m.chance.IntN(2) == 0 {
			copy(m.content[m.pending[i].at:], m.pending[i].data)
		}
	}
	m.pending = nil
}

// boxTable is the table of an EntroOS disk of that size.
func boxTable(t interface{ Fatal(...any) }, size int64) *Table {
	table := NewTable(512)
	for _, p := range []struct {
		number      int
		kind        uuid.UUID
		first, last uint64
	}{{1, TypeESP, 2048, 4095}, {2, TypeBasicData, 4096, 6143}, {4, TypeLinux, 6144, uint64(table.End(size)/mib*mib/512) - 1}} {
		part := Partition{Number: p.number, Type: p.kind, GUID: uuid.New(), First: p.first, Last: p.last}
		part.SetName("EntroOS")
		table.Partitions = append(table.Partitions, part)
	}
	return table
}

// TestCutWhileWriting grows a disk's table and gives it new identities, and cuts
// the power after each number of sectors: the table is the old or the new one.
func TestCutWhileWriting(t *testing.T) {
	const size, grown = 8 * mib, 12 * mib
	rapid.Check(t, func(t *rapid.T) {
		damage := rapid.SampledFrom([]string{"none", "primary", "backup"}).Draw(t, "damage")
		larger := rapid.Bool().Draw(t, "larger disk")
		end := int64(size)
		disk := &memory{content: make([]byte, size), left: -1, chance: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))}
		old := boxTable(t, size)
		if err := old.Write(disk, size); err != nil {
			t.Fatal(err)
		}
		if larger && damage != "primary" { // the backup of a grown disk is nowhere to be found
			disk.content = append(disk.content, make([]byte, grown-size)...)
			end = grown
		}
		switch damage {
		case "primary":
			disk.content[512+rapid.IntRange(0, 91).Draw(t, "byte")] ^= 0x55
		case "backup":
			disk.content[len(disk.content)-512] ^= 0x55
		}
		next, err := ReadTable(disk, end, 512)
		if err != nil || !next.equal(old) || next.Complete() != (damage == "none" && !larger) {
			t.Fatalf("read %+v, %v, complete %v", next, err, next.Complete())
		}
		next.DiskGUID = uuid.New()
		next.Partitions[0].GUID = uuid.New()
		next.Partitions[2].Last = uint64(next.End(end)/512) - 1
		disk.left = rapid.IntRange(0, 80).Draw(t, "sectors")
		werr := next.Write(disk, end)
		if !disk.dead && werr != nil {
			t.Fatal(werr)
		}
		found, err := ReadTable(disk, end, 512)
		if err != nil {
			t.Fatalf("no table after %v: %v", werr, err)
		}
		if !found.equal(old) && !found.equal(next) {
			t.Fatalf("the table is neither the old nor the new one: %+v", found)
		}
		if werr == nil && (!found.equal(next) || !found.Complete()) {
			t.Fatalf("written: %+v, complete %v", found, found.Complete())
		}
		// The next boot ends what this one began.
		disk.dead, disk.left = false, -1
		found.Partitions[2].Last = next.Partitions[2].Last
		if err := found.Write(disk, end); err != nil {
			t.Fatal(err)
		}
		if last, err := ReadTable(disk, end, 512); err != nil || !last.Complete() || !last.equal(found) {
			t.Fatalf("after the next boot: %+v, %v", last, err)
		}
	})
}

// TestSgdiskAgrees has the field's own tool look at a table made and grown here.
func TestSgdiskAgrees(t *testing.T) {
	sgdisk, err := exec.LookPath("/sbin/sgdisk")
	if err != nil {
		t.Fatal("sgdisk is missing; install the Debian package gdisk")
	}
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int64{16 * mib, 64 * mib, 3 << 40} { // the last is more than the MBR can say
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		table, err := ReadTable(f, size, 512)
		if errors.Is(err, ErrNoTable) && size == 16*mib {
			table, err = boxTable(t, size), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		table.Partition(4).Last = uint64(table.End(size)/mib*mib/512) - 1
		if err := table.Write(f, size); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(sgdisk, "-v", "-p", path).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "No problems found") ||
			!strings.Contains(strings.ToLower(string(out)), table.DiskGUID.String()) {
			t.Errorf("%d bytes: %v\n%s", size, err, out)
		}
	}
}

func TestHostileTables(t *testing.T) {
	disk := &memory{content: make([]byte, 8*mib), left: -1}
	good := boxTable(t, 8*mib)
	for name, spoil := range map[string]func(*Table){
		"overlap":         func(t *Table) { t.Partitions[1].First-- },
		"beyond the disk": func(t *Table) { t.Partitions[2].Last = 1 << 40 },
		"backwards":       func(t *Table) { t.Partitions[2].Last = t.Partitions[2].First - 1 },
		"over the table":  func(t *Table) { t.Partitions[0].First = 3 },
	} {
		bad := *good
		bad.Partitions = append([]Partition(nil), good.Partitions...)
		spoil(&bad)
		if err := bad.Write(disk, 8*mib); err == nil {
			t.Errorf("%s: written", name)
		}
		if _, err := ReadTable(disk, 8*mib, 512); !errors.Is(err, ErrNoTable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The checksums are right, and the numbers would take all memory.
	header := good.header(1, 8*mib/512-1, 2, 100, good.array())
	binary.LittleEndian.PutUint32(header[80:], 1<<31)
	binary.LittleEndian.PutUint32(header[16:], 0)
	binary.LittleEndian.PutUint32(header[16:], crc32.ChecksumIEEE(header[:gptHeaderSize]))
	copy(disk.content[512:], header)
	if _, err := ReadTable(disk, 8*mib, 512); !errors.Is(err, ErrNoTable) {
		t.Errorf("a table of 2^31 entries: %v", err)
	}
}

func FuzzReadTable(f *testing.F) {
	disk := &memory{content: make([]byte, 5*mib), left: -1}
	if err := boxTable(f, 5*mib).Write(disk, 5*mib); err != nil {
		f.Fatal(err)
	}
	f.Add(disk.content[512:604], disk.content[1024:1536])
	f.Fuzz(func(t *testing.T, header, entries []byte) {
		b := bytes.Clone(disk.content)
		copy(b[512:1024], header)
		copy(b[1024:2048], entries)
		if table, err := ReadTable(bytes.NewReader(b), int64(len(b)), 512); err == nil {
			for _, p := range table.Partitions {
				if table.Size(&p) <= 0 || table.Offset(&p)+table.Size(&p) > int64(len(b)) {
					t.Fatalf("partition %+v", p)
				}
			}
		}
	})
}

package fat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Device is where the file system is: a partition that is not mounted, or a
// file. Sync returns when all that was written is on the medium.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// Check says what is wrong with the file system in the first size bytes of dev,
// and changes nothing.
func Check(dev io.ReaderAt, size int64, rules Rules) (Report, error) {
	m, err := newMending(dev, size, rules)
	if err != nil {
		return Report{}, err
	}
	return m.plan.report, nil
}

// Mend checks the file system in the first size bytes of dev and mends it. It
// may be cut off anywhere: the next one goes on from there. Errors wrap ErrNotFAT,
// ErrTooLarge, or are the device's.
func Mend(dev Device, size int64, rules Rules) (Report, error) {
	m, err := newMending(dev, size, rules)
	if err != nil {
		return Report{}, err
	}
	if m.plan.report.Clean() {
		return m.plan.report, nil
	}
	return m.plan.report, m.write(dev)
}

// mending is the best plan there is, and what of it differs from the disk.
type mending struct {
	plan   *plan
	tables []table // as on disk
	boot   []byte  // as it is to be
	info   []byte  // FSInfo as it is to be; nil for none
	backup bool    // the boot sector's copy differs
}

// newMending works out what to do. Where the FAT's copies differ, the one under
// which less is wrong counts, in doubt the first: Linux writes it first.
func newMending(dev io.ReaderAt, size int64, rules Rules) (*mending, error) {
	v, err := openVolume(dev, size)
	if err != nil {
		return nil, err
	}
	m := &mending{}
	differ := false
	for i := range v.copies {
		t, err := v.readTable(dev, i)
		if err != nil {
			return nil, err
		}
		m.tables = append(m.tables, t)
		differ = differ || !bytes.Equal(t.raw, m.tables[0].raw)
	}
	for i, t := range m.tables {
		if i > 0 && !differ {
			break
		}
		p := newPlan(v, dev, t.clone(), rules)
		if err := p.make(); err != nil {
			return nil, err
		}
		if m.plan == nil || better(&p.report, &m.plan.report) {
			m.plan = p
		}
	}
	if differ {
		m.plan.report.mended("", "the copies of the FAT differ: the better one taken")
	}
	m.head()
	if err := m.bootSector(dev); err != nil {
		return nil, err
	}
	return m, m.infoSector(dev)
}

func better(a, b *Report) bool {
	if a.Left != b.Left {
		return a.Left < b.Left
	}
	if a.count() != b.count() {
		return a.count() < b.count()
	}
	return a.Lost < b.Lost
}

// head mends the FAT's first two entries: the media byte, and the flags of a
// clean unmount and of no disk errors.
func (m *mending) head() {
	p := m.plan
	if byte(p.table.entry(0)) != p.media {
		p.report.mended("", "the FAT does not begin with the media byte: mended")
		p.table.set(0, endOfChain&^0xff|uint32(p.media))
	}
	flags := uint32(0xc000)
	if p.fat32 {
		flags = 0x0c000000
	}
	if flags&^p.table.entry(1) != 0 {
		p.report.Dirty = true
		p.table.setEntry(1, p.table.entry(1)|flags)
	}
}

// bootSector mends the boot sector, its dirty flag, and its copy.
func (m *mending) bootSector(dev io.ReaderAt) error {
	p := m.plan
	m.boot = bytes.Clone(p.boot)
	if p.restored {
		p.report.mended("", "the boot sector is not valid: taken from its copy")
	}
	if m.boot[p.state()]&stateDirty != 0 {
		p.report.Dirty = true
		m.boot[p.state()] &^= stateDirty
	}
	if p.backup == 0 {
		return nil
	}
	second := make([]byte, len(m.boot))
	if _, err := dev.ReadAt(second, p.backup); err != nil {
		return fmt.Errorf("the boot sector's copy: %w", err)
	}
	if m.backup = !bytes.Equal(second, m.boot); m.backup {
		p.report.mended("", "the boot sector's copy differs: mended")
	}
	return nil
}

// infoSector mends FSInfo, FAT32's count of free clusters.
func (m *mending) infoSector(dev io.ReaderAt) error {
	p := m.plan
	if p.info == 0 {
		return nil
	}
	const unknown = 1<<32 - 1
	le := binary.LittleEndian
	found := make([]byte, 512)
	if _, err := dev.ReadAt(found, p.info); err != nil {
		return fmt.Errorf("FSInfo: %w", err)
	}
	info := bytes.Clone(found)
	le.PutUint32(info[0:], 0x41615252)
	le.PutUint32(info[484:], 0x61417272)
	le.PutUint32(info[508:], 0xaa550000)
	le.PutUint32(info[488:], p.freeClusters())
	if next := le.Uint32(info[492:]); !p.valid(next) && next != unknown {
		le.PutUint32(info[492:], unknown)
	}
	if !bytes.Equal(info, found) {
		p.report.mended("", "the count of free clusters is wrong: mended")
		m.info = info
	}
	return nil
}

// write puts the plan on disk: entries, then the FAT that they may no longer
// need, then what is derived, last that all is clean.
func (m *mending) write(dev Device) error {
	p := m.plan
	var failed []error
	put := func(b []byte, offset int64) {
		if _, err := dev.WriteAt(b, offset); err != nil {
			failed = append(failed, err)
		}
	}
	done := func() bool {
		failed = append(failed, dev.Sync())
		return errors.Join(failed...) != nil
	}
	if p.restored { // without it the rest cannot be read
		put(p.boot, 0)
	}
	for _, at := range p.changedFolders() {
		put(p.folders[at], at)
	}
	if done() {
		return fmt.Errorf("mending folders: %w", errors.Join(failed...))
	}
	raw := p.table.raw
	for i, t := range m.tables {
		for at := 0; at < len(raw); at += int(p.sector) {
			end := min(at+int(p.sector), len(raw))
			if !bytes.Equal(raw[at:end], t.raw[at:end]) {
				put(raw[at:end], p.fatStart+int64(i)*p.fatSize+int64(at))
			}
		}
	}
	if done() {
		return fmt.Errorf("mending the FAT: %w", errors.Join(failed...))
	}
	if m.info != nil {
		put(m.info, p.info)
	}
	if m.backup {
		put(m.boot, p.backup)
	}
	if !bytes.Equal(m.boot, p.boot) {
		put(m.boot, 0)
	}
	if done() {
		return fmt.Errorf("mending the boot sector: %w", errors.Join(failed...))
	}
	return nil
}

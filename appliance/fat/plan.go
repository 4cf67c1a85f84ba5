package fat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// maxDepth is how deep folders are followed, maxFolder how many slots one may
// have (as in Linux, 2 MiB).
const (
	maxDepth  = 64
	maxFolder = 1 << 16
)

// plan is what a file system is to become, worked out in memory under one copy
// of the FAT.
type plan struct {
	*volume
	dev    io.ReaderAt
	rules  Rules
	table  table
	report Report

	folders map[int64][]byte // sectors of directories that change, by offset
	owned   []bool           // clusters that belong to something
	files   []*entry
	queue   []*entry // folders still to be read
	entries int
}

// entry is a file or folder.
type entry struct {
	path     string
	slots    []int64 // where its slots are, the short one last
	start    uint32
	size     uint32
	depth    int
	parent   uint32 // start of the folder that it is in; 0 is the root
	precious bool
}

func newPlan(v *volume, dev io.ReaderAt, t table, rules Rules) *plan {
	return &plan{
		volume: v, dev: dev, rules: rules, table: t,
		folders: make(map[int64][]byte), owned: make([]bool, v.limit),
	}
}

// make works the plan out. What is precious comes first, then other folders, then
// other files: what has been claimed is nobody else's.
func (p *plan) make() error {
	if err := p.readRoot(); err != nil {
		return err
	}
	if err := p.readFolders(true); err != nil {
		return err
	}
	for _, f := range p.files {
		if f.precious {
			if err := p.claimFile(f); err != nil {
				return err
			}
		}
	}
	if err := p.readFolders(false); err != nil {
		return err
	}
	if err := p.dropTwins(); err != nil {
		return err
	}
	for _, f := range p.files {
		if !f.precious {
			if err := p.claimFile(f); err != nil {
				return err
			}
		}
	}
	p.freeLost()
	return nil
}

// readFolders reads the folders that were found and those in them, only precious
// ones or all.
func (p *plan) readFolders(precious bool) error {
	var others []*entry
	for len(p.queue) > 0 {
		folder := p.queue[0]
		p.queue = p.queue[1:]
		if precious && !folder.precious {
			others = append(others, folder)
			continue
		}
		if err := p.readFolder(folder); err != nil {
			return err
		}
	}
	p.queue = others
	return nil
}

// dropTwins finds entries for one file, which a rename that was cut off leaves,
// and keeps the one that is precious, or the later in the rename.
func (p *plan) dropTwins() error {
	type chain struct{ start, size uint32 }
	kept := make(map[chain]*entry)
	dropped := make(map[*entry]bool)
	for _, f := range p.files {
		if f.start == 0 || f.size == 0 {
			continue
		}
		key := chain{f.start, f.size}
		first := kept[key]
		if first == nil {
			kept[key] = f
			continue
		}
		loser := f
		if p.rules.later(f.path, first.path) {
			kept[key], loser = f, first
		}
		if loser.precious && kept[key].precious {
			continue // claimFile tells
		}
		if loser.precious {
			kept[key], loser = loser, kept[key]
		}
		dropped[loser] = true
		p.report.mended(loser.path, "is the same file as %s, which a rename cut off leaves: this name removed", kept[key].path)
		if err := p.remove(loser.slots); err != nil {
			return err
		}
	}
	p.files = slices.DeleteFunc(p.files, func(f *entry) bool { return dropped[f] })
	return nil
}

// claimFile follows a file's chain, and makes chain and size agree.
func (p *plan) claimFile(f *entry) error {
	need := (int64(f.size) + p.cluster - 1) / p.cluster
	if f.start == 0 && f.size == 0 {
		return nil
	}
	chain, whole := p.follow(f.start, need)
	have := int64(len(chain))
	tooLong := whole && have == need && have > 0 && !isEnd(p.table.next(chain[have-1]))
	if have == need && have > 0 && !tooLong {
		return nil
	}
	var what string
	switch {
	case need == 0:
		what = "is empty but has clusters"
	case tooLong:
		what = "has more clusters than its size wants"
	case whole:
		what = fmt.Sprintf("has %d clusters and wants %d", have, need)
	default:
		what = fmt.Sprintf("its chain breaks after %d of %d clusters", have, need)
	}
	if f.precious {
		p.report.left(f.path, "%s", what)
		if tooLong {
			p.follow(p.table.next(chain[have-1]), int64(p.limit))
		}
		return nil
	}
	p.report.mended(f.path, "%s: cut to what there is", what)
	if have > 0 {
		p.table.set(chain[have-1], endOfChain)
	}
	size := min(int64(f.size), have*p.cluster)
	return p.edit(f.slots[len(f.slots)-1], func(s slot) {
		s.setSize(uint32(size))
		if have == 0 {
			s.setStart(0, p.fat32)
		}
	})
}

// follow claims a chain's clusters, at most that many. whole says that it ended
// well, or has at least that many.
func (p *plan) follow(start uint32, most int64) (chain []uint32, whole bool) {
	c := start
	for int64(len(chain)) < most {
		if !p.valid(c) || p.owned[c] || p.table.next(c) == free || p.table.next(c) == bad {
			return chain, false
		}
		p.owned[c] = true
		chain = append(chain, c)
		next := p.table.next(c)
		if isEnd(next) {
			return chain, true
		}
		c = next
	}
	return chain, true
}

// freeLost frees what belongs to nothing; not while something precious is
// damaged, which they may be a part of.
func (p *plan) freeLost() {
	keep := p.report.Left > 0
	for c := uint32(2); c < p.limit; c++ {
		if next := p.table.next(c); !p.owned[c] && next != free && next != bad {
			p.report.Lost++
			if !keep {
				p.table.set(c, free)
			}
		}
	}
	switch {
	case p.report.Lost == 0:
	case keep:
		p.report.left("", "%d clusters belong to nothing, or to what is damaged", p.report.Lost)
	default:
		p.report.mended("", "%d clusters belong to nothing: freed", p.report.Lost)
	}
}

// freeClusters counts them.
func (p *plan) freeClusters() uint32 {
	n := uint32(0)
	for c := uint32(2); c < p.limit; c++ {
		if p.table.next(c) == free {
			n++
		}
	}
	return n
}

// read reads directory slots, with the plan's changes.
func (p *plan) read(offset, size int64) ([]byte, error) {
	b := make([]byte, size)
	if _, err := p.dev.ReadAt(b, offset); err != nil {
		return nil, err
	}
	for at := offset; at < offset+size; at += p.sector {
		if changed, ok := p.folders[at]; ok {
			copy(b[at-offset:], changed)
		}
	}
	return b, nil
}

// edit changes one slot.
func (p *plan) edit(offset int64, change func(slot)) error {
	base := offset / p.sector * p.sector
	s, ok := p.folders[base]
	if !ok {
		s = make([]byte, p.sector)
		if _, err := p.dev.ReadAt(s, base); err != nil {
			return err
		}
	}
	before := bytes.Clone(s)
	change(slot(s[offset-base : offset-base+slotSize]))
	if !bytes.Equal(before, s) {
		p.folders[base] = s
	}
	return nil
}

// remove marks slots as deleted, the short one first: until the last of its
// long name is gone, a cut leaves an orphan, which the next check removes.
func (p *plan) remove(slots []int64) error {
	var failed []error
	for _, at := range slots {
		failed = append(failed, p.edit(at, func(s slot) { s[0] = slotDeleted }))
	}
	return errors.Join(failed...)
}

// changedFolders gives the offsets of the sectors that change, in order.
func (p *plan) changedFolders() []int64 {
	return slices.Sorted(maps.Keys(p.folders))
}

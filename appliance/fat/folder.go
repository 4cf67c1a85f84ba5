package fat

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// readRoot reads the root directory.
func (p *plan) readRoot() error {
	root := &entry{precious: true}
	if !p.fat32 {
		return p.readSlots(root, []extent{{p.rootStart, p.rootEntries * slotSize}})
	}
	root.start = p.rootCluster
	extents, err := p.claimFolder(root)
	if err != nil {
		return err
	}
	if len(extents) == 0 {
		return fmt.Errorf("%w: its root directory has no cluster", ErrNotFAT)
	}
	return p.readSlots(root, extents)
}

// readFolder reads a folder below the root, unless it was never finished.
func (p *plan) readFolder(f *entry) error {
	if f.depth > maxDepth {
		return p.drop(f, "is more than %d folders deep", maxDepth)
	}
	if !p.valid(f.start) || p.owned[f.start] || p.table.next(f.start) == free || p.table.next(f.start) == bad {
		return p.drop(f, "has no cluster of its own")
	}
	first, err := p.read(p.offset(f.start), 2*slotSize)
	if err != nil {
		return err
	}
	self, parent := slot(first[:slotSize]), slot(first[slotSize:])
	if string(self[:11]) != ".          " || string(parent[:11]) != "..         " || self[11]&attrFolder == 0 || parent[11]&attrFolder == 0 {
		if !f.precious {
			return p.drop(f, "is no folder")
		}
		// What stands in it is still looked at: it must not count as lost.
		p.report.left(f.path, "does not begin as a folder does")
	}
	for i, want := range []uint32{f.start, f.parent} {
		s := slot(first[i*slotSize : (i+1)*slotSize])
		if f.precious || s.start(p.fat32) == want && s.size() == 0 {
			continue
		}
		p.report.mended(f.path, "its entry %q is wrong: mended", s.shortName())
		if err := p.edit(p.offset(f.start)+int64(i)*slotSize, func(s slot) {
			s.setStart(want, p.fat32)
			s.setSize(0)
		}); err != nil {
			return err
		}
	}
	extents, err := p.claimFolder(f)
	if err != nil {
		return err
	}
	return p.readSlots(f, extents)
}

// drop removes a folder that is none. What it had becomes lost, and is freed.
func (p *plan) drop(f *entry, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if f.precious {
		p.report.left(f.path, "%s", what)
		return nil
	}
	p.report.mended(f.path, "%s: removed", what)
	return p.remove(f.slots)
}

// extent is a part of a directory.
type extent struct{ offset, size int64 }

// claimFolder follows a directory's chain, and ends it where it breaks.
func (p *plan) claimFolder(f *entry) ([]extent, error) {
	most := maxFolder * slotSize / p.cluster
	chain, whole := p.follow(f.start, max(most, 1))
	if n := len(chain); n > 0 && (!whole || !isEnd(p.table.next(chain[n-1]))) {
		p.report.mended(f.path, "its chain breaks after %d clusters: ended there", n)
		p.table.set(chain[n-1], endOfChain)
	}
	var extents []extent
	for _, c := range chain {
		extents = append(extents, extent{p.offset(c), p.cluster})
	}
	return extents, nil
}

// folderReader takes a directory's slots in order.
type folderReader struct {
	*plan
	folder *entry
	long   longName
	orphan []int64         // parts of long names without an entry
	names  map[string]bool // the nameKeys of the entries
	at     int             // of the slot in the directory
}

// readSlots reads a directory.
func (p *plan) readSlots(folder *entry, extents []extent) error {
	r := &folderReader{plan: p, folder: folder, names: make(map[string]bool)}
	for _, e := range extents {
		slots, err := p.read(e.offset, e.size)
		if err != nil {
			return fmt.Errorf("folder %q: %w", folder.path, err)
		}
		for i := int64(0); i+slotSize <= e.size; i += slotSize {
			if err := r.take(slot(slots[i:i+slotSize]), e.offset+i); err != nil {
				return err
			}
			r.at++
		}
	}
	r.abandonLong()
	if len(r.orphan) > 0 {
		p.report.mended(folder.path, "%d parts of long names have no file: removed", len(r.orphan))
	}
	return p.remove(r.orphan)
}

// take looks at one slot.
func (r *folderReader) take(s slot, offset int64) error {
	switch {
	case s.unused():
		r.abandonLong()
		return nil
	case s.isLong():
		if !r.long.add(s, offset) {
			r.abandonLong()
			if !r.long.add(s, offset) {
				r.orphan = append(r.orphan, offset)
			}
		}
		return nil
	case s[11]&attrLabel != 0 && s[11]&attrReserved == 0:
		r.abandonLong()
		return nil
	}
	dots := r.at < 2 && r.folder.depth > 0
	if dots {
		return nil // readFolder has looked at them
	}
	if !r.long.of(s) {
		r.abandonLong()
	}
	return r.file(s, offset)
}

// file takes a short entry; the long name, if any, is its own.
func (r *folderReader) file(s slot, offset int64) error {
	f := &entry{
		path: s.shortName(), slots: append(r.long.offsets, offset),
		start: s.start(r.fat32), size: s.size(), depth: r.folder.depth + 1,
	}
	isLong := len(r.long.offsets) > 0
	if isLong {
		f.path = r.long.String()
	}
	keys := nameKeys(s, f.path, isLong)
	r.long = longName{}
	if r.folder.depth > 0 {
		f.path = r.folder.path + "/" + f.path
		f.parent = r.folder.start
	}
	if r.entries++; r.entries > maxEntries {
		return fmt.Errorf("%w: more than %d files", ErrTooLarge, maxEntries)
	}
	if !s.sound() {
		r.report.mended(r.folder.path, "the entry %q is garbage: removed", string(s[:11]))
		return r.remove(f.slots)
	}
	f.precious = r.rules.precious(f.path)
	if r.twin(keys) && !f.precious {
		r.report.mended(f.path, "there are two of this name: the second removed")
		return r.remove(f.slots)
	}
	if s[11]&attrFolder == 0 {
		r.files = append(r.files, f)
		return nil
	}
	if s.size() != 0 && !f.precious {
		r.report.mended(f.path, "is a folder with a size: mended")
		if err := r.edit(offset, func(s slot) { s.setSize(0) }); err != nil {
			return err
		}
	}
	r.queue = append(r.queue, f)
	return nil
}

// nameKeys are what an entry's name must not share with another's in the
// folder: its 11 bytes, and the name in small letters if its characters are
// known. Those of a short name beyond ASCII depend on a code page that the
// volume does not tell.
func nameKeys(s slot, name string, isLong bool) []string {
	keys := []string{"short " + string(s[:11])}
	ascii := !strings.ContainsFunc(name, func(c rune) bool { return c >= utf8.RuneSelf })
	if ascii || isLong && !strings.ContainsRune(name, utf8.RuneError) {
		keys = append(keys, "long "+strings.ToLower(name))
	}
	return keys
}

// twin says whether the folder has an entry of the same name, and notes this
// one if not.
func (r *folderReader) twin(keys []string) bool {
	for _, key := range keys {
		if r.names[key] {
			return true
		}
	}
	for _, key := range keys {
		r.names[key] = true
	}
	return false
}

// abandonLong makes the parts collected so far orphans.
func (r *folderReader) abandonLong() {
	r.orphan = append(r.orphan, r.long.offsets...)
	r.long = longName{}
}

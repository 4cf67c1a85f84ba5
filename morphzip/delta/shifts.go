package delta

import "slices"

// findShifts finds where the memory without bytes in the file went, which nothing
// tells but the references to it.
func findShifts(old, new *pages, references *references, s *plan) []shift {
	went := map[int64]int64{}
	p := newPredictor(references, s)
	r := reference{}
	var data [8]byte
	for _, m := range s.pieces {
		c := references.from(m.old)
		for {
			at, k, ok := c.next()
			if !ok || at+k.size() > m.old+m.size {
				break
			}
			if k > addressOfTable {
				continue
			}
			r.kind, r.from, r.to = k, at, m.new+at-m.old
			if !r.locate(p) {
				continue
			}
			old.read(data[:k.size()], at)
			r.old = value(data[:], k)
			target, ok := p.target(&r)
			if !ok || target < unfiled {
				continue
			}
			if _, known := went[target]; known {
				continue
			}
			new.read(data[:k.size()], r.to)
			if now, ok := p.named(&r, value(data[:], k)); ok && now >= unfiled {
				went[target] = now - target
			}
		}
	}
	var places []int64
	for place := range went {
		places = append(places, place)
	}
	slices.Sort(places)
	var shifts []shift
	var by int64
	for i, place := range places {
		// One that differs from those around it is an exception, and no shift.
		now := went[place]
		if now != by && (i+1 == len(places) || went[places[i+1]] == now) && len(shifts) < maxShifts {
			shifts = append(shifts, shift{old: place, by: now})
			by = now
		}
	}
	return shifts
}

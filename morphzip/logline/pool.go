package logline

// pool has the entries of the dictionaries of bytes coded so far: a digest that
// was in one column is told in the next by its number.
type pool struct {
	Strings
	index map[string]uint32 // of the encoder
	found []uint64
	fresh Strings
}

func (p *pool) reset() {
	p.Bytes, p.Ends = p.Bytes[:0], p.Ends[:0]
	if p.index == nil {
		p.index = map[string]uint32{}
	}
	clear(p.index)
}

// refer gives, for each entry, 0 for what is not in the pool yet, which then
// becomes part of it, or the number in the pool plus 1.
func (p *pool) refer(s *Strings) {
	p.found = p.found[:0]
	p.fresh = Strings{Bytes: p.fresh.Bytes[:0], Ends: p.fresh.Ends[:0]}
	for i := range s.Ends {
		e := s.At(i)
		if n, ok := p.index[string(e)]; ok && len(e) >= poolEntry {
			p.found = append(p.found, uint64(n)+1)
			continue
		}
		p.found = append(p.found, 0)
		p.fresh.Append(e)
		if len(e) >= poolEntry {
			p.index[string(e)] = uint32(p.Len())
			p.Append(e)
		}
	}
}

// resolve is the inverse of refer.
func (p *pool) resolve(found []uint64, fresh *Strings, limit int) (Strings, error) {
	out := Strings{Ends: make([]uint32, 0, len(found))}
	next := 0
	for _, n := range found {
		var e []byte
		switch {
		case n == 0:
			if next >= fresh.Len() {
				return out, corrupt("number of new entries")
			}
			e = fresh.At(next)
			next++
			if len(e) >= poolEntry {
				p.Append(e)
			}
		case n > uint64(p.Len()):
			return out, corrupt("reference to an entry")
		default:
			e = p.At(int(n - 1))
		}
		if len(out.Bytes)+len(e) > limit {
			return out, corrupt("length of entries")
		}
		out.Append(e)
	}
	if next != fresh.Len() {
		return out, corrupt("number of new entries")
	}
	return out, nil
}

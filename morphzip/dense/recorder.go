package dense

import "bytes"

// recorder gathers, while a walker goes over a table, what plans are made from.
type recorder struct {
	on     bool
	events []event
	facts  []facts
	quoted hope
}

// event is that a stream had its next value.
type event struct {
	stream uint16
	place  uint32
	value  uint64
}

// facts are what is known of all of a stream's values.
type facts struct {
	count    int
	first    uint64
	differ   bool
	texts    map[textSource]int // how often a stream's latest text was the next entry
	distinct int                // entries of an index stream
	sampled  sampled
}

// textSource is where an entry's text may be found.
type textSource struct {
	stream uint16
	quoted bool
}

const (
	// maxEvents bounds the sample of events, sampleWindows tells in how many
	// runs of rows they are.
	maxEvents     = 150_000
	sampleWindows = 2
	// textSamples is how many entries are looked for among other streams' texts,
	// least how many must be found of them, in parts of 8.
	textSamples = 64
)

// event tells that the stream's next value is this.
func (r *recorder) event(w *walker, stream int, value uint64) {
	f := &r.facts[stream]
	if f.count == 0 {
		f.first = value
	}
	f.count++
	f.differ = f.differ || value != f.first
	if r.on && len(r.events) < maxEvents {
		r.events = append(r.events, event{uint16(stream), w.place, value})
	}
	s := &w.streams[stream]
	if s.leaf != nil && s.transform == index {
		f.distinct = max(f.distinct, int(value)+1)
	}
	s.value = value
}

// entry tells that a column's next entry is this.
func (r *recorder) entry(w *walker, l *leaf, b []byte) {
	s := &w.streams[l.values]
	f := &r.facts[l.values]
	f.sampled.add(l.column.Type, b)
	if l.known < textSamples && len(b) >= 8 {
		r.search(w, s, f, b)
	}
	if s.transform == silent {
		r.event(w, l.values, hashText(b))
	}
}

// search looks for an entry among the latest texts of the other streams.
func (r *recorder) search(w *walker, s *stream, f *facts, b []byte) {
	for i := range w.streams {
		other := &w.streams[i]
		if other == s || other.leaf == nil {
			continue
		}
		text := other.text()
		if len(text) < 8 {
			continue
		}
		if bytes.Equal(text, b) {
			r.found(f, textSource{uint16(i), false})
			continue
		}
		r.quoted.reset(text, true)
		if !r.quoted.live || len(text) > 2*len(b) {
			continue
		}
		for _, c := range b {
			r.quoted.saw(c)
		}
		if r.quoted.live && len(r.quoted.rest) == 0 {
			r.found(f, textSource{uint16(i), true})
		}
	}
}

func (r *recorder) found(f *facts, t textSource) {
	if f.texts == nil {
		f.texts = map[textSource]int{}
	}
	f.texts[t]++
}

// best returns the source that was right most often, the first of those that
// were equally often; ok is false where none was right in an eighth of the cases.
func (f *facts) best(samples int) (best textSource, ok bool) {
	most := 0
	for t, n := range f.texts {
		if n > most || n == most && (t.stream < best.stream || t.stream == best.stream && !t.quoted) {
			best, most = t, n
		}
	}
	return best, most*8 > samples
}

// record walks over a table without coding it.
func (w *walker) record(b *branch) error {
	w.recorder = &recorder{facts: make([]facts, len(w.streams))}
	rows := len(b.table.Rows)
	for i := range rows {
		share := maxEvents / sampleWindows
		window := i * sampleWindows / max(rows, 1)
		w.recorder.on = len(w.recorder.events) < share*(window+1)
		if err := w.row(b); err != nil {
			return err
		}
	}
	return w.complete(b)
}

// complete tells whether all of the table was walked over.
func (w *walker) complete(b *branch) error {
	if b.next != len(b.table.Rows) {
		return errUnfit
	}
	for i := range b.columns {
		l := &b.columns[i]
		c := l.column
		if l.next != c.Len() || !c.Type.Numeric() && l.inner == nil && l.known != c.Dictionary.Len() {
			return errUnfit
		}
		if l.inner != nil {
			if err := w.complete(l.inner); err != nil {
				return err
			}
		}
	}
	return nil
}

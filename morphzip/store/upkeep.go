package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// sealBatches is of how many batches a block is made at the latest.
const sealBatches = 256

// runUpkeep makes blocks of tails, and drops what is too old or too much, until
// the store is closed. It has nothing to do while nothing is appended.
func (s *Store) runUpkeep() {
	encoder, err := newBlockEncoder(levelBlock, &s.facts)
	if err == nil {
		err = errors.Join(s.freeRemoved(), s.loadStreams())
	}
	if err != nil {
		s.options.Warn(err)
	}
	for sealed := true; ; sealed = false { // what was sealed before may be ripe
		for _, st := range s.loaded() {
			more, err := s.keepUp(encoder, st)
			sealed = sealed || more
			if err != nil && !errors.Is(err, errRemoved) {
				s.options.Warn(fmt.Errorf("stream %q: %w", st.name, err))
			}
		}
		if sealed {
			poke(s.ripen)
		}
		select {
		case <-s.stop:
			return
		case <-s.work:
		}
	}
}

// loadStreams has memory know all streams of the file.
func (s *Store) loadStreams() error {
	var names []string
	err := s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketStreams).ForEach(func(name, _ []byte) error {
			names = append(names, string(name))
			return nil
		})
	})
	for _, name := range names {
		if _, failed := s.stream(name, false); failed != nil && !errors.Is(failed, errClosed) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// loaded gives the streams that memory knows, by name.
func (s *Store) loaded() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*stream, 0, len(s.streams))
	for _, st := range s.streams {
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b *stream) int { return strings.Compare(a.name, b.name) })
	return all
}

func (s *Store) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// keepUp makes blocks of a stream's tail while it is long enough, and applies
// its retention. It says whether there are new blocks.
func (s *Store) keepUp(encoder *blockEncoder, st *stream) (sealed bool, err error) {
	for !s.stopping() {
		st.mu.Lock()
		due := st.tail.original >= uint64(s.options.BlockSize) || st.tail.units >= sealBatches
		st.mu.Unlock()
		if !due {
			break
		}
		// What commits dropped meanwhile is not sealed.
		if err := s.seal(encoder, st); err != nil && !errors.Is(err, errChanged) {
			return sealed, err
		}
		sealed = true
	}
	return sealed, s.retain(st)
}

// seal makes a block of the first batches of a stream's tail. The coding is
// done while others read and append.
func (s *Store) seal(encoder *blockEncoder, st *stream) error {
	var b body
	var batches []*header
	for next := uint64(0); ; {
		u, err := s.batchAt(st.id, next)
		if err != nil {
			return err
		}
		if u.header == nil || b.len() > 0 && (b.size+int(u.header.data) > s.options.BlockSize || b.len()+int(u.header.entries) > maxEntries) {
			break
		}
		more, err := s.codec.decode(u)
		if err != nil {
			if b.len() > 0 {
				break // the block ends before it
			}
			return s.moveBatch(st, u)
		}
		b.join(more)
		batches = append(batches, u.header)
		next = u.header.last + 1
	}
	if b.len() == 0 {
		return nil
	}
	h, payload := encoder.encode(&b)
	learned, err := s.learn(st, &b, len(batches))
	if err != nil {
		return err
	}
	err = s.updateThen(func(tx *bbolt.Tx) error {
		if st.removed() {
			return errRemoved
		}
		if err := unchanged(tx, st.id, batches); err != nil {
			return err
		}
		for _, batch := range batches {
			if err := deleteUnit(tx, st.id, batch); err != nil {
				return err
			}
		}
		if learned.id.number > 0 {
			if err := putDictionary(tx, learned); err != nil {
				return err
			}
		}
		return putUnit(tx, st.id, &h, payload)
	}, func() { st.exchange([]*header{&h}, batches) })
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.sealed++
	if learned.id.number > 0 {
		s.codec.forget(st.dictionary.id)
		st.dictionary, st.sealed = learned, 0
	}
	return nil
}

// batchAt gives the first batch of a tail that begins at or after a sequence
// number; its header is nil where there is none.
func (s *Store) batchAt(id uint32, next uint64) (u unit, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		k, v := tx.Bucket(bucketTail).Cursor().Seek(key(id, next))
		if h, value := parseUnit(bucketTail, id, k, v); h != nil {
			u = loadUnit(tx, id, h, value)
		}
		return nil
	})
	return u, err
}

// moveBatch has a batch that is damaged be a block as it is, so that what
// follows it can be sealed. Readers are told of it.
func (s *Store) moveBatch(st *stream, u unit) error {
	h, moved := u.header, *u.header
	moved.level = levelBlock
	moved.size = len(moved.append(nil))
	return s.updateThen(func(tx *bbolt.Tx) error {
		if st.removed() {
			return errRemoved
		}
		if err := unchanged(tx, st.id, []*header{h}); err != nil {
			return err
		}
		if err := deleteUnit(tx, st.id, h); err != nil {
			return err
		}
		return putUnit(tx, st.id, &moved, u.payload)
	}, func() { st.exchange([]*header{&moved}, []*header{h}) })
}

// learn makes the stream's next dictionary, where it is time and its batches
// are small.
func (s *Store) learn(st *stream, b *body, batches int) (dictionary, error) {
	st.mu.Lock()
	last, sealed := st.dictionary.id.number, st.sealed
	st.mu.Unlock()
	if b.size/batches > dictionaryBatch || last > 0 && sealed < dictionaryBlocks {
		return dictionary{}, nil
	}
	raw := learnDictionary(b, last+1)
	if raw == nil {
		return dictionary{}, nil
	}
	return dictionary{dictionaryID{st.id, last + 1}, raw}, nil
}

// putDictionary adds a dictionary, and drops those that no batch refers to.
func putDictionary(tx *bbolt.Tx, d dictionary) error {
	oldest := d.id.number
	if err := eachHeader(tx, bucketTail, d.id.stream, 0, func(h *header) bool {
		if h.dictionary > 0 {
			oldest = min(oldest, h.dictionary)
		}
		return true
	}); err != nil {
		return err
	}
	// The one in use now may be that of a batch that is being made.
	oldest = min(oldest, d.id.number-1)
	dictionaries := tx.Bucket(bucketDictionaries)
	c := dictionaries.Cursor()
	for k, _ := c.Seek(dictionaryKey(dictionaryID{d.id.stream, 0})); k != nil && string(k) < string(dictionaryKey(dictionaryID{d.id.stream, oldest})); k, _ = c.Next() {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return dictionaries.Put(dictionaryKey(d.id), d.raw)
}

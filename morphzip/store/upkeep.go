package store

// runUpkeep does in the background what nobody waits for.
func (s *Store) runUpkeep() {
	if err := s.freeRemoved(); err != nil {
		s.options.Warn(err)
	}
	for {
		select {
		case <-s.stop:
			return
		case <-s.work:
		}
	}
}

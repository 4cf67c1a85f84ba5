package oci

import "go.etcd.io/bbolt"

// Database is the store's.
func Database(s *Store) *bbolt.DB { return s.db }

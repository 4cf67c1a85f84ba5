package oci_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/runtime/oci"
)

// helperEnv makes this program a process of its own that works on a store, for
// tests that kill it or measure it. Its arguments are the store's folder and
// steps: import FILE, remove NAME, prune.
const helperEnv = "ENTROOS_OCI_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) == "" {
		os.Exit(m.Run())
	}
	if err := help(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for line := range bytes.Lines(status) {
		if peak, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			fmt.Printf("%s", bytes.TrimSpace(peak)) // e.g. 30000 kB
		}
	}
	os.Exit(0)
}

func help(dir string, steps []string) (err error) {
	db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := oci.Open(filepath.Join(dir, "images"), db)
	if err != nil {
		return err
	}
	ctx := context.Background()
	free := func(*bbolt.Tx, string) error { return nil }
	for len(steps) > 0 {
		switch steps[0] {
		case "import":
			f, err := os.Open(steps[1])
			if err != nil {
				return err
			}
			_, err = s.Import(ctx, f, "")
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			steps = steps[2:]
		case "remove":
			if err := s.Remove(ctx, steps[1], free); err != nil {
				return err
			}
			steps = steps[2:]
		case "prune":
			if _, _, err := s.Prune(ctx, free); err != nil {
				return err
			}
			steps = steps[1:]
		default:
			return fmt.Errorf("no step %q", steps[0])
		}
	}
	return nil
}

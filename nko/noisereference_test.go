//go:build !guest

package nko_test

import (
	"path/filepath"
	"testing"

	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/nko/noise"
)

func TestNoiseReferenceIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "entroos.db")
	store, err := nko.OpenStore(path)
	if err != nil {
		t.Fatal(err)
	}
	if ref, ok, err := store.NoiseReference(); ok || err != nil {
		t.Errorf("a new box has %+v, %v", ref, err)
	}
	want := noise.Reference{Source: "a test", Entropy: 0.25}
	if err := store.SetNoiseReference(want); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if store, err = nko.OpenStore(path); err != nil {
		t.Fatal(err)
	}
	if ref, ok, err := store.NoiseReference(); ref != want || !ok || err != nil {
		t.Errorf("after a restart %+v, %v, %v", ref, ok, err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

package bootslot

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseName(t *testing.T) {
	for name, want := range map[string]UKI{
		"entroos_0.1.0.efi":       {Version: "0.1.0"},
		"entroos_0.2.0+3.efi":     {Version: "0.2.0", OnTrial: true, Left: 3},
		"entroos_0.2.0+2-1.efi":   {Version: "0.2.0", OnTrial: true, Left: 2, Done: 1},
		"entroos_0.2.0+0-3.efi":   {Version: "0.2.0", OnTrial: true, Done: 3},
		"ENTROOS_1.0.0-RC1.EFI":   {Version: "1.0.0-RC1"},
		"entroos_1.0~rc1+12.efi":  {Version: "1.0~rc1", OnTrial: true, Left: 12},
		"entroos_0.2.0-1+1-9.efi": {Version: "0.2.0-1", OnTrial: true, Left: 1, Done: 9},
	} {
		want.Name = name
		if got, ok := ParseName(name); !ok || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, ok, want)
		}
	}
	for _, name := range []string{
		"", "entroos_.efi", "entroos_0.1.0", "other_0.1.0.efi", "entroos_0.1.0+.efi", "entroos_0.1.0+-1.efi", "entroos_0.1.0+3-.efi",
		"entroos_0.1.0+3+2.efi", "entroos_0.1/0.efi", "entroos_0.1.0+99999999999.efi", "ENTROO~1.EFI", "entroos_0.1.0.efi.partial",
	} {
		if got, ok := ParseName(name); ok {
			t.Errorf("%s was taken for %+v", name, got)
		}
	}
}

// TestLater: the order of two names of one file is that of a UKI's life.
func TestLater(t *testing.T) {
	life := []string{
		"entroos/uki.partial", "EFI/Linux/entroos_1+3.efi", "EFI/Linux/entroos_1+2-1.efi", "EFI/Linux/entroos_1+0-3.efi", "EFI/Linux/entroos_1.efi",
	}
	for i, a := range life {
		for j, b := range life {
			if got := Later(a, b); got != (i > j) {
				t.Errorf("Later(%s, %s) is %v", a, b, got)
			}
		}
	}
}

func TestPrecious(t *testing.T) {
	for path, want := range map[string]bool{
		"EFI": true, "efi/boot": true, "EFI/BOOT/BOOTX64.EFI": true, "EFI/Linux": true, "loader/loader.conf": true,
		"EFI/Linux/entroos_0.1.0.efi": true, "EFI/LINUX/ENTROOS_0.1.0.EFI": true,
		"EFI/Linux/entroos_0.2.0+3.efi": false, "EFI/Linux/entroos_0.2.0+2-1.efi": false, "EFI/Linux/ENTROO~1.EFI": false,
		"entroos": false, "entroos/uki.partial": false, "FSCK0000.REC": false,
	} {
		if got := Precious(path); got != want {
			t.Errorf("Precious(%s) is %v", path, got)
		}
	}
}

// newSlots makes an ESP of a plain folder. remounts collects what was asked for.
func newSlots(t *testing.T, files ...string) (slots *Slots, remounts *[]bool) {
	t.Helper()
	esp := t.TempDir()
	if err := os.MkdirAll(filepath.Join(esp, Folder), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if err := os.WriteFile(filepath.Join(esp, Folder, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	remounts = new([]bool)
	return &Slots{ESP: esp, Remount: func(w bool) error { *remounts = append(*remounts, w); return nil }}, remounts
}

func booted(name string) func() (UKI, error) {
	return func() (UKI, error) {
		uki, ok := ParseName(name)
		if !ok {
			return UKI{}, ErrNotTold
		}
		return uki, nil
	}
}

func TestBless(t *testing.T) {
	slots, remounts := newSlots(t, "entroos_0.1.0.efi", "entroos_0.2.0+2-1.efi", "loader.txt")
	// The boot loader tells names in small letters, and an older one when it
	// could not count.
	for _, told := range []string{"entroos_0.2.0+2-1.efi", "entroos_0.2.0+3.efi", "ENTROOS_0.2.0.EFI"} {
		slots.Selected = booted(told)
		uki, err := slots.Running()
		if err != nil || uki.Name != "entroos_0.2.0+2-1.efi" || !uki.OnTrial || uki.Left != 2 || uki.Size == 0 {
			t.Fatalf("booted %s: %+v, %v", told, uki, err)
		}
	}
	uki, err := slots.Running()
	if err != nil {
		t.Fatal(err)
	}
	if other, ok, err := slots.Fallback(uki); err != nil || !ok || other.Name != "entroos_0.1.0.efi" {
		t.Errorf("the fallback is %+v, %v, %v", other, ok, err)
	}
	for range 2 { // the second changes nothing
		if uki, err = slots.Bless(uki); err != nil || uki.Name != "entroos_0.2.0.efi" || uki.OnTrial {
			t.Fatalf("blessed: %+v, %v", uki, err)
		}
	}
	if len(*remounts) != 2 || !(*remounts)[0] || (*remounts)[1] {
		t.Errorf("remounts: %v, want writable once and read-only after it", *remounts)
	}
	if now, err := slots.Running(); err != nil || now != uki {
		t.Errorf("running: %+v, %v, want %+v", now, err, uki)
	}
	content, err := os.ReadFile(filepath.Join(slots.ESP, Folder, uki.Name))
	if err != nil || string(content) != "entroos_0.2.0+2-1.efi" {
		t.Errorf("%s holds %q, %v", uki.Name, content, err)
	}
}

// TestBlessAfterCutRename: a rename that a power cut broke left an empty file of
// the new name.
func TestBlessAfterCutRename(t *testing.T) {
	slots, _ := newSlots(t, "entroos_0.2.0+1-2.efi")
	if err := os.WriteFile(filepath.Join(slots.ESP, Folder, "entroos_0.2.0.efi"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	slots.Selected = booted("entroos_0.2.0+1-2.efi")
	uki, err := slots.Running()
	if err != nil || uki.Name != "entroos_0.2.0+1-2.efi" {
		t.Fatalf("running %+v, %v", uki, err)
	}
	if _, ok, err := slots.Fallback(uki); ok || err != nil {
		t.Errorf("there is a fallback, or an error: %v", err)
	}
	if uki, err = slots.Bless(uki); err != nil {
		t.Fatal(err)
	}
	all, err := slots.List()
	if err != nil || len(all) != 1 || all[0] != uki {
		t.Errorf("the UKIs are %+v, %v", all, err)
	}
}

func TestBlessFailure(t *testing.T) {
	slots, _ := newSlots(t, "entroos_0.2.0+1-2.efi")
	slots.Remount = func(bool) error { return errors.New("write-protected") }
	uki, _ := ParseName("entroos_0.2.0+1-2.efi")
	if got, err := slots.Bless(uki); err == nil || !strings.Contains(err.Error(), "write-protected") || got != uki {
		t.Errorf("blessed: %+v, %v", got, err)
	}
	slots.Selected = booted("")
	if _, err := slots.Running(); !errors.Is(err, ErrNotTold) {
		t.Errorf("the error is %v", err)
	}
	slots.Selected = booted("entroos_0.9.0.efi")
	if _, err := slots.Running(); err == nil || errors.Is(err, ErrNotTold) {
		t.Errorf("the error is %v", err)
	}
}

func TestPlace(t *testing.T) {
	slots, _ := newSlots(t, "entroos_0.1.0.efi")
	partial := filepath.Join(slots.ESP, tempFolder, "uki.partial")
	if err := os.MkdirAll(filepath.Dir(partial), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(partial, []byte("left by a power cut"), 0o644); err != nil {
		t.Fatal(err)
	}
	uki, err := slots.Place(context.Background(), "0.2.0", strings.NewReader("new"))
	if err != nil || uki.Name != "entroos_0.2.0+3.efi" || uki.Left != Tries || uki.Size != 3 {
		t.Fatalf("placed %+v, %v", uki, err)
	}
	if _, err := slots.Place(context.Background(), "0.2.0", strings.NewReader("again")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("placed twice: %v", err)
	}
	if _, err := slots.Place(context.Background(), "0.1.0", strings.NewReader("again")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the running version was placed: %v", err)
	}
	if _, err := slots.Place(context.Background(), "../0.3.0", strings.NewReader("x")); err == nil {
		t.Error("placed a version with a path")
	}
	if _, err := slots.Place(context.Background(), "0.3.0", strings.NewReader("")); err == nil {
		t.Error("placed an empty UKI")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := slots.Place(ctx, "0.3.0", strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("placed after cancellation: %v", err)
	}
	all, err := slots.List()
	if err != nil || len(all) != 2 {
		t.Errorf("the UKIs are %+v, %v", all, err)
	}
	if _, err := os.Stat(partial); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

// TestNamesRoundTrip: what Bless and Place write is what ParseName reads, with
// any version that an image can have.
func TestNamesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := rapid.StringMatching(`[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}([-.~][0-9A-Za-z]{1,8})?`).Draw(t, "version")
		trial, ok := ParseName(onTrial(version))
		if !ok || !trial.OnTrial || trial.Left != Tries || trial.Version != version {
			t.Fatalf("%s on trial is %+v, %v", version, trial, ok)
		}
		blessed, ok := ParseName(trial.Blessed())
		if !ok || blessed.OnTrial || !blessed.same(trial) || !Later(Folder+"/"+blessed.Name, Folder+"/"+trial.Name) {
			t.Fatalf("%s blessed is %+v, %v", version, blessed, ok)
		}
	})
}

package appliance

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/bootslot"
)

// TestSystemIsStillWhileCopied has the settings set and the UKI blessed while
// both partitions are copied.
func TestSystemIsStillWhileCopied(t *testing.T) {
	b := newTestBox(t)
	var none error
	file, _ := b.ownAt(t.TempDir(), &none)
	esp := t.TempDir()
	const name = "entroos_0.2.0+2-1.efi"
	if err := os.MkdirAll(filepath.Join(esp, bootslot.Folder), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(esp, bootslot.Folder, name), []byte("UKI"), 0o600); err != nil {
		t.Fatal(err)
	}
	running, _ := bootslot.ParseName(name)
	b.trial = &Trial{running: running, slots: &bootslot.Slots{ESP: esp, Remount: func(bool) error { return nil }}}
	release := b.keepStill()
	changed := make(chan error, 2)
	go func() {
		_, err := b.trial.slots.Bless(running)
		changed <- err
	}()
	go func() {
		_, err := b.admin.SetConfig(t.Context(), connect.NewRequest(&entroosv1.SetConfigRequest{File: "hostname: one"}))
		changed <- err
	}()
	left := cap(changed)
	select {
	case err := <-changed:
		left--
		t.Errorf("something was changed meanwhile (%v)", err)
	case <-time.After(200 * time.Millisecond): // long enough for both, when nothing holds them
	}
	release()
	for range left {
		if err := <-changed; err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	// A copy that cannot begin holds nothing.
	b.Storage.Disk = &Disk{Device: filepath.Join(esp, "missing")}
	if _, err := b.openSystem(); err == nil {
		t.Fatal("a disk that is not there is opened")
	}
	b.keepStill()()
}

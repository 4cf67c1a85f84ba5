package appliance

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/bootslot"
)

// TestStalledClientHoldsUpNoRepair has a client that reads nothing until all is
// over, one that leaves, and one that reads all.
func TestStalledClientHoldsUpNoRepair(t *testing.T) {
	line := strings.Repeat("x", 1023) + "\n"
	errCode := errors.New("it cannot be mended")
	for name, lines := range map[string]int{"stalls": 1024, "leaves": 1024, "reads": 32} {
		t.Run(name, func(t *testing.T) {
			over := make(chan struct{})
			var got strings.Builder
			err := relayed("test", func(out io.Writer) error {
				defer close(over)
				for range lines {
					if n, err := io.WriteString(out, line); n != len(line) || err != nil {
						t.Errorf("wrote %d, %v", n, err)
					}
				}
				return errCode
			}, func(p []byte) error {
				switch name {
				case "leaves":
					return io.ErrClosedPipe
				case "stalls":
					select {
					case <-over:
					case <-time.After(10 * time.Second):
						t.Error("the repair waits for the client")
					}
				}
				got.Write(p)
				return nil
			})
			if !errors.Is(err, errCode) {
				t.Errorf("%v", err)
			}
			switch text := got.String(); name {
			case "reads":
				if text != strings.Repeat(line, lines) {
					t.Errorf("%d bytes came", len(text))
				}
			case "stalls":
				if !strings.Contains(text, outputLeftOut) || len(text) > 3*maxRelayed {
					t.Errorf("%d bytes came, and what is lost is not told", len(text))
				}
			}
		})
	}
}

// TestNoEndWhileDisksChange asks for the box's end while a disk is repaired.
func TestNoEndWhileDisksChange(t *testing.T) {
	b := newTestBox(t)
	esp := t.TempDir()
	if err := os.MkdirAll(filepath.Join(esp, bootslot.Folder), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(esp, bootslot.Folder, "entroos_0.1.0.efi"), []byte("UKI"), 0o600); err != nil {
		t.Fatal(err)
	}
	running, _ := bootslot.ParseName("entroos_0.2.0+2-1.efi")
	b.trial = &Trial{slots: &bootslot.Slots{ESP: esp}, running: running}
	ends := map[string]func() error{
		"reboot": func() error {
			_, err := b.admin.Reboot(t.Context(), connect.NewRequest(new(entroosv1.RebootRequest)))
			return err
		},
		"poweroff": func() error {
			_, err := b.admin.PowerOff(t.Context(), connect.NewRequest(new(entroosv1.PowerOffRequest)))
			return err
		},
		"trial": func() error {
			if !b.giveUp(running) {
				return errEndBusy
			}
			return nil
		},
	}
	for name, end := range ends {
		b.disks.Lock()
		if err := end(); connect.CodeOf(err) != connect.CodeFailedPrecondition {
			t.Errorf("%s during a repair: %v", name, err)
		}
		select {
		case a := <-b.Ending():
			t.Errorf("%s during a repair ends the box (%v)", name, a)
		default:
		}
		b.disks.Unlock()
		if err := end(); err != nil {
			t.Errorf("%s after the repair: %v", name, err)
		}
		select {
		case <-b.Ending():
		default:
			t.Errorf("%s after the repair does nothing", name)
		}
	}
}

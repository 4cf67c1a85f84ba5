package appliance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/nko"
)

// Key codes of linux/input-event-codes.h.
const (
	evKey    = 1
	keyPower = 116
)

// inputEvent is the kernel's struct input_event.
type inputEvent struct {
	_     unix.Timeval
	Type  uint16
	Code  uint16
	Value int32 // 1: pressed
}

// StartPowerButtons powers the box off in order when a power button is pressed.
func (b *Box) StartPowerButtons() error {
	names, err := filepath.Glob("/sys/class/input/event*/device/name")
	if err != nil {
		return err
	}
	var failed []error
	for _, file := range names {
		name, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(name)) != "Power Button" {
			continue
		} else if err != nil {
			failed = append(failed, err)
			continue
		}
		event := filepath.Base(filepath.Dir(filepath.Dir(file)))
		_, err = b.Supervisor.Add(nko.ServiceSpec{Name: "power-button-" + event, Run: func(ctx context.Context) error {
			return b.watchPowerButton(ctx, "/dev/input/"+event)
		}})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func (b *Box) watchPowerButton(ctx context.Context, device string) error {
	f, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	defer context.AfterFunc(ctx, nko.Guard("end of a power button", func() { f.Close() }))() // ends a read
	var raw [unsafe.Sizeof(inputEvent{})]byte
	for {
		// The kernel gives whole events.
		if _, err := f.Read(raw[:]); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("power button: %w", err)
		}
		var e inputEvent
		if _, err := binary.Decode(raw[:], binary.NativeEndian, &e); err != nil {
			return fmt.Errorf("power button: %w", err)
		}
		if e.Type == evKey && e.Code == keyPower && e.Value == 1 {
			b.Logger.Info("power button pressed")
			b.End(PowerOff)
		}
	}
}

package appliance

import (
	"bufio"
	"context"
	"fmt"
	"sync"

	"github.com/entroos/entroos/nko"
)

// faultPort is the name of the virtio-serial port on which a virtual machine's
// owner orders faults, one word a line, for trials of what the box makes of
// them. It is listened to only under the option "faults", which only the
// machine's firmware can set.
const faultPort = "org.entroos.faults.0"

// StartFaults listens for faults, where that is wanted.
func (b *Box) StartFaults() error {
	if !b.Options.Faults() {
		return nil
	}
	port, err := virtioPort(faultPort)
	if err != nil || port == "" {
		return err
	}
	_, err = b.Supervisor.Add(nko.ServiceSpec{Name: "faults", Run: func(ctx context.Context) error {
		t, err := openVirtioPort(ctx, port)
		if err != nil {
			return err
		}
		defer t.File.Close()
		defer context.AfterFunc(ctx, nko.Guard("end of faults", func() { t.File.Close() }))() // ends a read
		words := bufio.NewScanner(t.File)
		for words.Scan() {
			b.Logger.Warn("a fault was ordered", "fault", words.Text())
			if err := b.fault(words.Text()); err != nil {
				b.Logger.Error("no fault", "error", err)
			}
		}
		return words.Err()
	}, Expected: true})
	return err
}

func (b *Box) fault(word string) error {
	switch word {
	case "stall":
		b.Supervisor.Stall()
	case "fatal":
		// The Go runtime dies of it: there is nothing to recover.
		new(sync.Mutex).Unlock()
	default:
		return fmt.Errorf("%q is no fault: stall, fatal", word)
	}
	return nil
}

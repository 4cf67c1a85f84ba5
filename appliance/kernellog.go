package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/nko"
)

// kernelService is the name under which the kernel's log is asked for.
const kernelService = "kernel"

// printkPath says up to which level the kernel itself writes on the consoles.
const printkPath = "/proc/sys/kernel/printk"

// Levels of the kernel's log (syslog(2)).
const (
	levelError   = 3
	levelWarning = 4
	// printkQuiet leaves to the kernel what it says before it dies; a panic
	// raises the level by itself.
	printkQuiet = 1
)

// Kernel messages are announced a few at once, then one each announceEvery: a
// failing disk must not take the console away from who wants to mend it.
const (
	announceBurst = 8
	announceEvery = 10 * time.Second
)

// StartKernelLog keeps the kernel's log, and has its errors said on the
// consoles by PID 1, as lines of their own, in place of the kernel, which would
// write into what somebody is typing.
func (b *Box) StartKernelLog() error {
	k := &kernelLog{announce: b.Announce, now: time.Now}
	added := make(chan struct{})
	service, err := b.Supervisor.Add(nko.ServiceSpec{Name: kernelService, Run: func(ctx context.Context) error {
		<-added
		return k.serve(ctx)
	}})
	if err == nil {
		k.log = service.Log()
	}
	close(added)
	return err
}

// kernelLog reads the kernel's log.
type kernelLog struct {
	log      *nko.LogRing
	announce func(format string, args ...any)
	now      func() time.Time

	last   uint64  // sequence number of the last record
	said   float64 // of announceBurst
	saidAt time.Time
	unsaid int
}

// serve keeps the log until ctx ends.
func (k *kernelLog) serve(ctx context.Context) error {
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", err, nko.ErrStop) // a kernel without a log
	} else if err != nil {
		return err
	}
	defer f.Close()
	before, err := os.ReadFile(printkPath)
	if err == nil {
		err = os.WriteFile(printkPath, []byte(strconv.Itoa(printkQuiet)), 0)
	}
	if err != nil {
		return fmt.Errorf("the kernel's own messages: %w", err)
	}
	// Without us, the kernel says its errors itself again.
	defer func() { _ = os.WriteFile(printkPath, before, 0) }()                                   // it has just been written to
	defer context.AfterFunc(ctx, nko.Guard("end of the kernel log", func() { _ = f.Close() }))() // ends Read
	start, err := kernelStart()
	if err != nil {
		return err
	}
	old, err := SinceKernelStart()
	if err != nil {
		return err
	}
	record := make([]byte, 8<<10)
	for {
		n, err := f.Read(record) // a whole record each time
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.EPIPE): // records were overwritten before we read them
			continue
		case err != nil:
			return fmt.Errorf("the kernel's log: %w", err)
		}
		m, ok := parseKernelRecord(string(record[:n]))
		if !ok || m.sequence <= k.last && k.last != 0 {
			continue // not a record, or read in an earlier life
		}
		k.last = m.sequence
		// What is older than we are, the kernel has said itself.
		k.take(m, start, m.since > old)
	}
}

// kernelStart is when the kernel's clock was 0.
func kernelStart() (time.Time, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Time{}, fmt.Errorf("clock_gettime: %w", err)
	}
	return time.Now().Add(-time.Duration(ts.Nano())), nil
}

// take keeps the messages of the kernel and of logins; PID 1 has a log of its
// own.
func (k *kernelLog) take(m kernelRecord, start time.Time, announce bool) {
	const fromKernel, fromAuth = 0, 4
	if m.facility != fromKernel && m.facility != fromAuth {
		return
	}
	k.log.Add(nko.LogLine{At: start.Add(m.since), Stderr: m.level <= levelWarning, Text: []byte(m.text)})
	if !announce || m.facility != fromKernel || m.level > levelError {
		return
	}
	now := k.now()
	k.said = max(0, k.said-now.Sub(k.saidAt).Seconds()/announceEvery.Seconds())
	k.saidAt = now
	if k.said > announceBurst-1 {
		k.unsaid++
		return
	}
	k.said++
	if k.unsaid > 0 {
		k.announce("kernel: %d messages were left out; `services logs kernel` has the last", k.unsaid)
		k.unsaid = 0
	}
	k.announce("kernel: %s", m.text)
}

// kernelRecord is one message of the kernel's log.
type kernelRecord struct {
	facility, level int
	sequence        uint64
	since           time.Duration // the kernel's start
	text            string
}

// parseKernelRecord reads what /dev/kmsg gives (the kernel's
// Documentation/ABI/testing/dev-kmsg): "6,339,5140900,-;text\n KEY=value\n".
func parseKernelRecord(record string) (kernelRecord, bool) {
	head, text, ok := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if !ok || len(fields) < 3 {
		return kernelRecord{}, false
	}
	priority, err1 := strconv.Atoi(fields[0])
	sequence, err2 := strconv.ParseUint(fields[1], 10, 64)
	micros, err3 := strconv.ParseInt(fields[2], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || priority < 0 {
		return kernelRecord{}, false
	}
	text, _, _ = strings.Cut(text, "\n")
	// What is not to be shown is written as \x1b already.
	return kernelRecord{
		facility: priority >> 3, level: priority & 7, sequence: sequence,
		since: time.Duration(micros) * time.Microsecond, text: text,
	}, true
}

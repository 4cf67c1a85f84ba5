package appliance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/nko"
)

// bootsPath is where boots leave word for the next.
const bootsPath = PermPath + "/boots"

// Files of a BootLog, within its folder.
const (
	thisBootName  = "this.json"  // the bootRecord of the boot under way
	lastWordsName = "last-words" // PID 1's standard error, from the file's start to the first zero
	endsName      = "ends.jsonl" // how earlier boots ended, the oldest first
)

const (
	// lastWordsBytes is the file that waits for PID 1's last words. It has
	// its blocks already, so that each word is one write to the disk.
	lastWordsBytes = 64 << 10
	// endsKept bounds the ends that are kept; each has at most
	// panicLogBytes of text, and the cause.
	endsKept = 32
)

// bootRecord is what a boot leaves for the next.
type bootRecord struct {
	Started time.Time `json:"started"`
	// End is how the box is about to end; empty while it runs.
	End  string `json:"end"`
	Text string `json:"text,omitempty"`
}

// keptEnd is a line of the ends.
type keptEnd struct {
	Seen time.Time `json:"seen"` // by the boot after it
	End  string    `json:"end"`
	Text string    `json:"text,omitempty"`
}

// BootLog keeps account on the data partition of how this boot ends, for the
// next one. What is not ended by a Note, or by PID 1's last words, was a power
// cut.
type BootLog struct {
	dir       string
	lastWords *os.File
	stderr    int           // what descriptor 2 was
	kept      *panicRecords // are on the data partition by now; nil: they are not

	mu     sync.Mutex // guards record and ended
	record bootRecord
	ended  bool       // the end is noted, and stays
	write  sync.Mutex // one at a time writes the record
}

// OpenBootLog begins the account of this boot in dir and gives how the one
// before ended: reset says that a watchdog tells of it, pstore is the folder of
// the kernel's panic records, which are kept; ErasePanics follows. Errors are
// of parts that could not be had; the BootLog may be used all the same.
func OpenBootLog(dir, pstore string, reset bool) (*BootLog, PreviousBoot, error) {
	l := &BootLog{dir: dir, stderr: -1, record: bootRecord{Started: time.Now()}}
	var failed []error
	note := func(err error) {
		if err != nil {
			failed = append(failed, err)
		}
	}
	note(os.MkdirAll(dir, 0o700))
	note(l.removeUnfinished())
	e := evidence{reset: reset}
	var err error
	e.record, err = l.readRecord()
	note(err)
	e.lastWords, err = l.readLastWords()
	note(err)
	records, err := readPanicRecords(pstore)
	note(err)
	e.panicLog = records.log()
	previous := e.judge()
	err = l.keep(previous)
	note(err)
	if err == nil {
		l.kept = records
	}
	note(l.flush())
	note(l.prepareLastWords())
	if len(failed) > 0 {
		return l, previous, fmt.Errorf("the boot log: %w", errors.Join(failed...))
	}
	return l, previous, nil
}

// ErasePanics makes room in the firmware for another panic, when the records of
// the last are kept. Some firmware takes its time.
func (l *BootLog) ErasePanics() error {
	if l.kept == nil {
		return nil
	}
	return l.kept.erase()
}

// Note says how the box is about to end; an empty end says that it goes on. It
// is on the disk when Note returns without an error.
func (l *BootLog) Note(end, text string) error {
	l.set(end, text)
	return l.flush()
}

func (l *BootLog) set(end, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.record.End, l.record.Text = end, text
	}
}

// flush brings the record as it is now to the disk.
func (l *BootLog) flush() error {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	raw, err := json.Marshal(l.record)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.replace(thisBootName, raw)
}

// replace writes a whole file; the old or the new one is there at any time.
func (l *BootLog) replace(name string, content []byte) error {
	if err := renameio.WriteFile(filepath.Join(l.dir, name), content, 0o600); err != nil {
		return err
	}
	// The new name, too, is to be there after a power cut.
	d, err := os.Open(l.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// removeUnfinished removes files that a power cut kept from their names.
func (l *BootLog) removeUnfinished() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	var failed []error
	for _, e := range entries {
		switch e.Name() {
		case thisBootName, lastWordsName, endsName:
		default:
			failed = append(failed, os.RemoveAll(filepath.Join(l.dir, e.Name())))
		}
	}
	return errors.Join(failed...)
}

func (l *BootLog) readRecord() (*bootRecord, error) {
	raw, err := os.ReadFile(filepath.Join(l.dir, thisBootName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	r := new(bootRecord)
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("%s: %w", thisBootName, err)
	}
	return r, nil
}

func (l *BootLog) readLastWords() (string, error) {
	f, err := os.Open(filepath.Join(l.dir, lastWordsName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, lastWordsBytes))
	if err != nil {
		return "", err
	}
	raw, _, _ = bytes.Cut(raw, []byte{0})
	return string(raw[:min(len(raw), panicLogBytes)]), nil
}

// prepareLastWords makes an empty file of them.
func (l *BootLog) prepareLastWords() error {
	f, err := os.OpenFile(filepath.Join(l.dir, lastWordsName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	before := make([]byte, lastWordsBytes)
	n, err := f.ReadAt(before, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n < lastWordsBytes || before[0] != 0 {
		clear(before)
		if _, err := f.WriteAt(before, 0); err != nil {
			return err
		}
		if err := errors.Join(f.Truncate(lastWordsBytes), f.Sync()); err != nil {
			return err
		}
	}
	// Whatever is written reaches the disk at once: the kernel stops when its
	// writer dies.
	l.lastWords, err = os.OpenFile(f.Name(), os.O_WRONLY|unix.O_DSYNC, 0)
	return err
}

// TakeStderr has the process's standard error, to which the Go runtime writes
// why it dies, go to the disk instead of the console.
func (l *BootLog) TakeStderr() error {
	if l.lastWords == nil {
		return errors.New("the boot log: there is no file for PID 1's last words")
	}
	before, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return fmt.Errorf("the boot log: standard error: %w", err)
	}
	if err := unix.Dup3(int(l.lastWords.Fd()), 2, unix.O_CLOEXEC); err != nil {
		return errors.Join(fmt.Errorf("the boot log: standard error: %w", err), unix.Close(before))
	}
	l.stderr = before
	return nil
}

// End notes the box's end in order, and closes the log.
func (l *BootLog) End(a Action) error {
	end := EndReboot
	if a == PowerOff {
		end = EndPowerOff
	}
	// The watchdogs' hunger may come or go at this very moment.
	l.mu.Lock()
	l.record.End, l.record.Text, l.ended = end, "", true
	l.mu.Unlock()
	return errors.Join(l.flush(), l.Close())
}

// Close gives back standard error, and the data partition with it.
func (l *BootLog) Close() error {
	var failed []error
	if l.stderr >= 0 {
		failed = append(failed, unix.Dup3(l.stderr, 2, unix.O_CLOEXEC), unix.Close(l.stderr))
		l.stderr = -1
	}
	if l.lastWords != nil {
		failed = append(failed, l.lastWords.Close())
		l.lastWords = nil
	}
	return errors.Join(failed...)
}

// keep adds an end to those that are kept.
func (l *BootLog) keep(p PreviousBoot) error {
	path := filepath.Join(l.dir, endsName)
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	line, err := json.Marshal(keptEnd{Seen: time.Now(), End: p.End, Text: p.Text})
	if err != nil {
		return err
	}
	lines := append(bytes.SplitAfter(raw, []byte{'\n'}), append(line, '\n'))
	lines = lines[max(0, len(lines)-endsKept-1):] // one is what follows the last end of a line
	return l.replace(endsName, bytes.Join(lines, nil))
}

// StartBootLog tells how the last boot ended, and keeps account of this one
// when there is a data partition.
func (b *Box) StartBootLog(dog *Watchdog) {
	reset := dog != nil && dog.Fired()
	if b.Storage.Data == "" {
		// The kernel's records stay for a boot that can keep them.
		records, err := readPanicRecords(pstorePath)
		if err != nil {
			b.Logger.Warn("boot log", "error", err)
		}
		b.tellPreviousBoot(evidence{panicLog: records.log(), reset: reset}.judge())
		return
	}
	l, previous, err := OpenBootLog(bootsPath, pstorePath, reset)
	b.tellPreviousBoot(previous)
	b.Boots = l
	nko.Go("erasing of panic records", func() {
		if err := l.ErasePanics(); err != nil {
			b.Logger.Warn("boot log", "error", err)
		}
	})
	if dog != nil {
		dog.OnHunger(func(reason error) {
			end, text := "", ""
			if reason != nil {
				end, text = EndWatchdog, reason.Error()
			}
			l.set(end, text)
			// The disk may be what hangs.
			nko.Go("note of the watchdogs' hunger", func() {
				if err := l.flush(); err != nil {
					b.Logger.Error("hunger not noted", "error", err)
				}
			})
		})
	}
	if err := errors.Join(err, l.TakeStderr()); err != nil {
		// What is told of ends is not worth being degraded for.
		b.Logger.Warn("boot log", "error", err)
	}
}

func (b *Box) tellPreviousBoot(p PreviousBoot) {
	b.mu.Lock()
	b.previous = p
	b.mu.Unlock()
	b.Logger.Info("previous boot", "ended_in", p.String())
	if b.Log == nil {
		return
	}
	for line := range bytes.Lines([]byte(p.Text)) {
		b.Log.Add(nko.LogLine{At: time.Now(), Stderr: true, Text: append([]byte("previous boot: "), bytes.TrimRight(line, "\n")...)})
	}
}

// PreviousBoot is how the boot before this one ended.
func (b *Box) PreviousBoot() PreviousBoot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.previous
}

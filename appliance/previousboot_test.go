package appliance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	initPanic = "<6>[    9.1] entroos: level=INFO\n<0>[   10.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200\n"
	ownPanic  = "<0>[   10.0] Kernel panic - not syncing: sysrq triggered crash\n<0>[   10.0] Call Trace:\n"
	dogPanic  = "<0>[   10.0] Kernel panic - not syncing: Software Watchdog Timer expired\n"
	goDeath   = "fatal error: concurrent map writes\n\ngoroutine 38 [running]:\n"
)

func TestJudgeOfAnEnd(t *testing.T) {
	running := &bootRecord{Started: time.Now()}
	ended := func(end, text string) *bootRecord { return &bootRecord{Started: time.Now(), End: end, Text: text} }
	for _, c := range []struct {
		name       string
		e          evidence
		end, cause string
	}{
		{"nothing", evidence{}, EndUnknown, ""},
		{"no end was noted", evidence{record: running}, EndInterrupted, ""},
		{"reboot", evidence{record: ended(EndReboot, "")}, EndReboot, ""},
		{"power-off", evidence{record: ended(EndPowerOff, "")}, EndPowerOff, ""},
		{"a watchdog's old news", evidence{record: ended(EndReboot, ""), reset: true}, EndReboot, ""},
		{"watchdog alone", evidence{record: running, reset: true}, EndWatchdog, ""},
		{"watchdog without records", evidence{reset: true}, EndWatchdog, ""},
		{"noted hunger", evidence{record: ended(EndWatchdog, "stuck")}, EndWatchdog, "stuck"},
		{"the kernel's watchdog", evidence{record: running, panicLog: dogPanic}, EndWatchdog, "Software Watchdog Timer expired"},
		{"hunger, and the kernel's watchdog", evidence{record: ended(EndWatchdog, "stuck"), panicLog: dogPanic}, EndWatchdog, "stuck"},
		{"panic", evidence{record: running, panicLog: ownPanic}, EndPanic, "sysrq triggered crash"},
		{"panic without its last line", evidence{record: running, panicLog: "<4>[ 1.0] Call Trace:\n"}, EndPanic, "kernel panic"},
		{"panic during a reboot", evidence{record: ended(EndReboot, ""), panicLog: ownPanic}, EndPanic, "sysrq triggered crash"},
		{"death of init", evidence{record: running, panicLog: initPanic}, EndInit, "Attempted to kill init! exitcode=0x00000200"},
		{"death of init, with its words", evidence{record: running, panicLog: initPanic, lastWords: goDeath}, EndInit, "fatal error: concurrent map writes"},
		{"words, and no store for panics", evidence{record: running, lastWords: goDeath}, EndInit, "fatal error: concurrent map writes"},
		{"words of no consequence", evidence{record: running, lastWords: "2026/11/23 a library's chatter\n"}, EndInterrupted, ""},
	} {
		p := c.e.judge()
		if cause, _, _ := strings.Cut(p.Text, "\n"); p.End != c.end || cause != c.cause {
			t.Errorf("%s: %q by %q, want %q by %q", c.name, p.End, cause, c.end, c.cause)
		}
	}
}

// writeRecord writes a record as the kernel names and begins it.
func writeRecord(t *testing.T, dir, reason string, dump, part int, at time.Time, text string) {
	t.Helper()
	path := filepath.Join(dir, fmt.Sprintf("dmesg-efi_pstore-%d%02d%03d", at.Unix(), part, dump))
	if err := os.WriteFile(path, fmt.Appendf(nil, "%s#%d Part%d\n%s", reason, dump, part, text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestPanicRecords(t *testing.T) {
	dir := t.TempDir()
	old, last := time.Unix(1_790_000_000, 0), time.Unix(1_790_000_900, 0)
	writeRecord(t, dir, "Panic", 1, 1, old, "an older panic\n")
	writeRecord(t, dir, "Oops", 1, 1, last, "oops\n")
	writeRecord(t, dir, "Panic", 2, 1, last.Add(time.Second), "end of the log\n")
	writeRecord(t, dir, "Panic", 2, 2, last.Add(2*time.Second), "begin of the log\n")
	for name, text := range map[string]string{"dmesg-efi_pstore-1.enc.z": "\x1f\x8b", "console-ramoops-0": "chatter"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := readPanicRecords(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.log(); got != "begin of the log\nend of the log\n" {
		t.Errorf("the log is %q", got)
	}
	if err := r.erase(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "console-ramoops-0" {
		t.Errorf("left are %v, %v", left, err)
	}
	if r, err := readPanicRecords(filepath.Join(dir, "none")); err != nil || r.log() != "" {
		t.Errorf("a kernel without a store: %q, %v", r.log(), err)
	}
}

func TestPanicRecordsOfAnOops(t *testing.T) {
	dir := t.TempDir()
	writeRecord(t, dir, "Oops", 1, 1, time.Unix(1_790_000_000, 0), strings.Repeat("a line of a log\n", 2000))
	r, err := readPanicRecords(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.log(); len(got) > panicLogBytes || !strings.HasPrefix(got, "a line of a log\n") || !strings.HasSuffix(got, "log\n") {
		t.Errorf("%d bytes, beginning %.20q", len(got), got)
	}
}

// openBoot begins a boot's account as PID 1 does.
func openBoot(t *testing.T, dir, pstore string) (*BootLog, PreviousBoot) {
	t.Helper()
	l, previous, err := OpenBootLog(dir, pstore, false)
	if err != nil {
		t.Fatal(err)
	}
	return l, previous
}

func TestBootLog(t *testing.T) {
	dir, pstore := filepath.Join(t.TempDir(), "boots"), t.TempDir()
	want := func(previous PreviousBoot, end, text string) {
		t.Helper()
		if previous.End != end || !strings.HasPrefix(previous.Text, text) {
			t.Errorf("the boot before ended in %+v, want %s %q", previous, end, text)
		}
	}
	l, previous := openBoot(t, dir, pstore)
	want(previous, EndUnknown, "")
	// The power goes. What it left half done is swept away.
	if err := errors.Join(l.lastWords.Close(), os.WriteFile(filepath.Join(dir, ".this.json123"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	l, previous = openBoot(t, dir, pstore)
	want(previous, EndInterrupted, "")
	if _, err := os.Stat(filepath.Join(dir, ".this.json123")); !os.IsNotExist(err) {
		t.Errorf("an unfinished file is left: %v", err)
	}
	if err := l.End(PowerOff); err != nil {
		t.Fatal(err)
	}
	l, previous = openBoot(t, dir, pstore)
	want(previous, EndPowerOff, "")
	if err := errors.Join(l.Note(EndWatchdog, "stuck"), l.Close()); err != nil {
		t.Fatal(err)
	}
	l, previous = openBoot(t, dir, pstore)
	want(previous, EndWatchdog, "stuck")
	// The watchdogs went hungry, and were fed again.
	if err := errors.Join(l.Note(EndWatchdog, "stuck"), l.Note("", "")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.lastWords.WriteString(goDeath); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	writeRecord(t, pstore, "Panic", 1, 1, time.Now(), initPanic)
	l, previous = openBoot(t, dir, pstore)
	want(previous, EndInit, "fatal error: concurrent map writes\n")
	if err := l.ErasePanics(); err != nil {
		t.Fatal(err)
	}
	if err := l.End(Reboot); err != nil {
		t.Fatal(err)
	}
	l, previous = openBoot(t, dir, pstore)
	want(previous, EndReboot, "") // each is told once
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(pstore); err != nil || len(left) != 0 {
		t.Errorf("the kernel's store keeps %v, %v", left, err)
	}
}

// TestEndsAreBounded boots more often than there are ends to keep.
func TestEndsAreBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "boots")
	for range endsKept + 5 {
		l, _ := openBoot(t, dir, t.TempDir())
		if err := l.End(Reboot); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, endsName))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	if len(lines) != endsKept {
		t.Errorf("%d ends are kept, want %d", len(lines), endsKept)
	}
	for _, line := range lines {
		var e keptEnd
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.End != EndReboot {
			t.Errorf("an end is %s: %v", line, err)
		}
	}
}

// TestDamagedBootLog has rubbish where the records were: it is told, and the
// next boot begins anew.
func TestDamagedBootLog(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{thisBootName, lastWordsName, endsName} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{\xff\x00rubbish"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, previous, err := OpenBootLog(dir, t.TempDir(), false)
	if err == nil || !strings.Contains(err.Error(), thisBootName) || previous.End != EndUnknown {
		t.Errorf("rubbish gave %+v, %v", previous, err)
	}
	if err := l.End(Reboot); err != nil {
		t.Fatal(err)
	}
	l, previous = openBoot(t, dir, t.TempDir())
	if previous.End != EndReboot {
		t.Errorf("the boot after ended in %+v", previous)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// What the watchdogs tell while the box ends does not become its end.
func TestEndStays(t *testing.T) {
	dir := t.TempDir()
	l, _, err := OpenBootLog(dir, t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.End(Reboot); err != nil {
		t.Fatal(err)
	}
	for _, late := range []string{EndWatchdog, ""} {
		if err := l.Note(late, "stuck"); err != nil {
			t.Fatal(err)
		}
		if r, err := l.readRecord(); err != nil || r.End != EndReboot || r.Text != "" {
			t.Errorf("after %q the record is %+v, error %v", late, r, err)
		}
	}
}

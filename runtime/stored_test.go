//go:build !guest

package runtime

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/runtime/logfile"
	"github.com/entroos/entroos/runtime/rate"
)

// writeLog writes the output of one execution, as a container does.
func writeLog(t *testing.T, r *Runtime, id string, bound int64, stdout, stderr string) (whole bool) {
	t.Helper()
	r.written.forget(id)
	log, err := logfile.Open(r.logDir(id), bound)
	if err != nil {
		t.Fatal(err)
	}
	for stdout != "" || stderr != "" {
		for _, o := range []struct {
			text   *string
			stream logfile.Stream
		}{{&stdout, logfile.Stdout}, {&stderr, logfile.Stderr}} {
			n := min(len(*o.text), 100)
			if err := log.Append(time.Now(), o.stream, []byte((*o.text)[:n])); err != nil {
				t.Fatal(err)
			}
			*o.text = (*o.text)[n:]
		}
	}
	span, whole := log.Span()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if whole {
		r.written.add(written{container: id, span: span})
	}
	return whole
}

func TestLogFacts(t *testing.T) {
	r := &Runtime{config: Config{Logs: t.TempDir()}}
	const bound = 20_000
	out, errs := strings.Repeat("out ", 500), strings.Repeat("err", 300)
	check := func(what, stdout, stderr string) {
		t.Helper()
		facts, err := r.LogFacts(context.Background())
		if err != nil || len(facts) != 2 {
			t.Fatalf("%s: %+v, error %v", what, facts, err)
		}
		if facts[0].Stored != sha256.Sum256([]byte(stdout)) || facts[1].Stored != sha256.Sum256([]byte(stderr)) {
			t.Errorf("%s: the digests are not the log's", what)
		}
	}
	if !writeLog(t, r, "a", bound, "the first execution's", "") {
		t.Fatal("not whole")
	}
	check("the first", "the first execution's", "")
	if !writeLog(t, r, "a", bound, out, errs) {
		t.Fatal("not whole")
	}
	check("behind another", out, errs)
	if !writeLog(t, r, "a", bound, strings.Repeat("x", 9_000), "") { // into the next file
		t.Fatal("not whole")
	}
	check("over two files", strings.Repeat("x", 9_000), "")
	if writeLog(t, r, "a", bound, strings.Repeat("y", 30_000), "") {
		t.Error("whole with its beginning dropped")
	}
	if facts, err := r.LogFacts(context.Background()); err != nil || len(facts) != 0 {
		t.Errorf("%+v, error %v", facts, err)
	}
	// A damaged log is seen.
	writeLog(t, r, "b", bound, out, "")
	name := filepath.Join(r.logDir("b"), "current")
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	raw[20] ^= 1
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	facts, err := r.LogFacts(context.Background())
	if err != nil || len(facts) != 2 || facts[0].Stored == sha256.Sum256([]byte(out)) {
		t.Errorf("a flipped bit is not seen: %+v, error %v", facts, err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := r.LogFacts(context.Background()); !errors.Is(err, logfile.ErrSpan) {
		t.Errorf("without the file: %v", err)
	}
}

func TestLastWrittenIsBounded(t *testing.T) {
	var l lastWritten
	for i := range 3 * writtenKept {
		l.add(written{container: strings.Repeat("i", i+1)})
	}
	if len(l.all) != writtenKept || len(l.all[0].container) != 2*writtenKept+1 {
		t.Errorf("%d are known", len(l.all))
	}
}

// A flood is slowed down, and all of it is taken.
func TestOutputIsSlowedDown(t *testing.T) {
	reader, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	o := newOutput(reader, logfile.Stdout, nil, nil)
	o.bucket = rate.NewBucket(1<<20, 64<<10)
	var seen int
	o.seen = func(data []byte) { seen += len(data) }
	start := time.Now()
	go o.run()
	text := strings.Repeat("x", 320<<10) // 256 KiB of it beyond the burst
	if _, err := w.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 100*time.Millisecond { // 64 KiB may be in the pipe, 32 in our hands
		t.Errorf("320 KiB written in %v", took)
	}
	w.Close()
	if !drain([]*output{o}, time.Minute) {
		t.Error("it did not end by itself")
	}
	if o.sum() != sha256.Sum256([]byte(text)) || seen != len(text) || o.bytes != uint64(len(text)) {
		t.Errorf("%d bytes of %d", seen, len(text))
	}
}

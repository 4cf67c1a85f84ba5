//go:build !guest

package runtime

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/morphzip/store"
	"github.com/entroos/entroos/runtime/rate"
)

// writeLog writes the output of one execution, as a container does.
func writeLog(t *testing.T, r *Runtime, id, stdout, stderr string) written {
	t.Helper()
	r.written.forget(id)
	log := r.logs.Appender(logStream(id))
	w := written{container: id, from: log.Last() + 1, stdout: sha256.Sum256([]byte(stdout)), stderr: sha256.Sum256([]byte(stderr))}
	for stdout != "" || stderr != "" {
		for _, o := range []struct {
			text   *string
			stream uint8
		}{{&stdout, store.Stdout}, {&stderr, store.Stderr}} {
			n := min(len(*o.text), 100)
			if err := log.Write(time.Now(), o.stream, []byte((*o.text)[:n])); err != nil {
				t.Fatal(err)
			}
			*o.text = (*o.text)[n:]
		}
	}
	w.to = log.Last()
	r.written.add(w)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestLogFacts(t *testing.T) {
	r := &Runtime{logs: openLogs(t, t.TempDir())}
	out, errs := strings.Repeat("out ", 500), strings.Repeat("err", 300)
	check := func(what string, executions ...written) {
		t.Helper()
		facts, err := r.LogFacts(context.Background())
		if err != nil || len(facts) != 2*len(executions) {
			t.Fatalf("%s: %+v, error %v", what, facts, err)
		}
		for i, w := range executions {
			for j, want := range []equations.Digest{w.stdout, w.stderr} {
				if f := facts[2*i+j]; f.Written != want || f.Stored != want || f.Container != w.container {
					t.Errorf("%s: %+v, want %x", what, f, want)
				}
			}
		}
	}
	check("the first", writeLog(t, r, "a", "the first execution's", ""))
	a := writeLog(t, r, "a", out, errs)
	check("behind another", a)
	b := writeLog(t, r, "b", "", "")
	check("one that wrote nothing", a, b)
	// What is not what was written is seen.
	wrong := a
	wrong.to--
	r.written.forget("a")
	r.written.add(wrong)
	facts, err := r.LogFacts(context.Background())
	if err != nil || len(facts) != 4 || facts[2].Container != "a" || facts[2].Stored == a.stdout && facts[3].Stored == a.stderr {
		t.Errorf("a piece is missing: %+v, error %v", facts, err)
	}
	// What is not kept any more is no longer compared.
	if err := r.logs.Remove(logStream("a")); err != nil {
		t.Fatal(err)
	}
	check("a dropped log", b)
}

// Logs of containers that nobody has recorded are removed, others are not.
func TestRecoverLogs(t *testing.T) {
	r := &Runtime{logs: openLogs(t, t.TempDir())}
	writeLog(t, r, "known", "its log", "")
	writeLog(t, r, "left", "its log", "")
	service := r.logs.Appender("service/left")
	if err := errors.Join(service.Write(time.Now(), store.Stdout, []byte("its log\n")), service.Close()); err != nil {
		t.Fatal(err)
	}
	if err := r.recoverLogs(map[string]bool{"known": true}); err != nil {
		t.Fatal(err)
	}
	streams, err := r.logs.Streams()
	if err != nil || len(streams) != 2 || streams[0].Name != "container/known" || streams[1].Name != "service/left" {
		t.Errorf("%+v, %v", streams, err)
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
	o := newOutput(reader, store.Stdout, nil, nil)
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

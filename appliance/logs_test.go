package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/morphzip/store"
	"github.com/entroos/entroos/nko"
)

// keepLogs opens the box's logs in a folder.
func (b *testBox) keepLogs(t *testing.T, folder string) {
	t.Helper()
	b.state = folder
	if err := b.OpenLogs(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.closeLogs(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// logs gives what the box answers to a request.
func (b *testBox) logs(t *testing.T, r *entroosv1.LogsRequest) (string, error) {
	t.Helper()
	stream, err := b.admin.Logs(t.Context(), connect.NewRequest(r))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var text strings.Builder
	for stream.Receive() {
		text.Write(stream.Msg().GetData())
	}
	return text.String(), stream.Err()
}

func TestServiceLogs(t *testing.T) {
	b := newTestBox(t)
	hour := time.Now().Add(-time.Hour).Truncate(time.Microsecond) // as it is stored
	add := func() {
		for i, text := range []string{"one", "two", "three"} {
			b.Log.Add(nko.LogLine{At: hour.Add(time.Duration(i) * time.Minute), Text: []byte(text)})
		}
	}
	add()
	ago := func(d time.Duration) *entroosv1.LogTime {
		return &entroosv1.LogTime{Time: &entroosv1.LogTime_AgoNanos{AgoNanos: int64(d)}}
	}
	at := func(t time.Time) *entroosv1.LogTime {
		return &entroosv1.LogTime{Time: &entroosv1.LogTime_UnixNano{UnixNano: t.UnixNano()}}
	}
	check := func() {
		t.Helper()
		for want, r := range map[string]*entroosv1.LogsRequest{
			"one\ntwo\nthree\n": {Tail: -1},
			"two\nthree\n":      {Tail: 2},
			"":                  {Tail: 0},
			"three\n":           {Tail: -1, Since: ago(58*time.Minute + 30*time.Second)},
			"one\n":             {Tail: -1, Until: at(hour.Add(time.Minute))},
			"two\n":             {Tail: -1, Since: at(hour.Add(time.Second)), Until: at(hour.Add(2 * time.Minute))},
			"one\nthree\n":      {Tail: -1, Grep: &entroosv1.LogGrep{Expression: "^.*e$"}},
			"one\ntwo\nthree\n ": {
				Tail: -1, Grep: &entroosv1.LogGrep{Expression: "^.*e$", Fixed: true, Invert: true},
			},
			"three\n ": {Tail: 1, Grep: &entroosv1.LogGrep{Expression: "e"}},
		} {
			r.Service = "init"
			if got, err := b.logs(t, r); got != strings.TrimSuffix(want, " ") || err != nil {
				t.Errorf("%v: %q, %v", r, got, err)
			}
		}
	}
	check() // from memory
	b.keepLogs(t, t.TempDir())
	check() // from the store
	for _, bad := range []*entroosv1.LogsRequest{
		{Service: "init", Grep: &entroosv1.LogGrep{Expression: "a(b"}},
		{Service: "init", Follow: true, Until: ago(0)},
	} {
		if _, err := b.logs(t, bad); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := b.logs(t, &entroosv1.LogsRequest{Service: "none"}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Error(err)
	}
	// Of a service that is there no more, the log is.
	gone := b.Logs.Appender(nko.ServiceStream("gone"))
	if err := errors.Join(gone.Write(time.Now(), store.Stdout, []byte("last words\n")), gone.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := b.logs(t, &entroosv1.LogsRequest{Service: "gone", Tail: -1, Follow: true}); got != "last words\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// Logs that cannot be read are put aside, the box says so, and new ones begin. One
// such file is kept at most.
func TestDamagedLogsAreSetAside(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "logs", logsFile)
	if err := os.MkdirAll(filepath.Join(filepath.Dir(path), "of-a-container"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		garbage := fmt.Sprintf("no logs, %d", i)
		if err := os.WriteFile(path, []byte(strings.Repeat(garbage, 10_000)), 0o600); err != nil {
			t.Fatal(err)
		}
		b := newTestBox(t)
		b.keepLogs(t, folder)
		if p := strings.Join(b.Problems(), "; "); !strings.Contains(p, "the logs of earlier boots cannot be read") || !strings.Contains(p, damagedLogs) {
			t.Errorf("problems: %s", p)
		}
		b.Log.Add(nko.LogLine{At: time.Now(), Text: []byte("one")})
		if got, err := b.logs(t, &entroosv1.LogsRequest{Service: "init", Tail: -1}); !strings.HasSuffix(got, "one\n") || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if err := b.closeLogs(t.Context()); err != nil {
			t.Fatal(err)
		}
		aside, err := os.ReadFile(filepath.Join(filepath.Dir(path), damagedLogs))
		if err != nil || !strings.HasPrefix(string(aside), garbage) {
			t.Errorf("aside is %.20q, %v", aside, err)
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 2 {
			t.Errorf("the folder has %v, %v", entries, err)
		}
	}
}

func TestLogQuery(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	q, err := logQuery(&entroosv1.LogsRequest{Tail: 3, Since: &entroosv1.LogTime{Time: &entroosv1.LogTime_AgoNanos{AgoNanos: -1 << 63}}}, now)
	if err != nil || q.Tail != 3 {
		t.Errorf("%+v, %v", q, err)
	}
	if q, err = logQuery(&entroosv1.LogsRequest{Since: new(entroosv1.LogTime)}, now); err != nil || !q.Since.IsZero() {
		t.Errorf("%+v, %v", q, err)
	}
}

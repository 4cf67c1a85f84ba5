//go:build guest

package runtime_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/morphzip/store"
	"github.com/entroos/entroos/runtime"
	"github.com/entroos/entroos/runtime/oci"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(context.Background())
}

func TestExec(t *testing.T) {
	b := newBox(t)
	out := newLines()
	c := b.start(spec("wait"), runtime.IO{Stdout: out})
	out.expect(t, "waiting")
	exec := func(e runtime.ExecSpec, io runtime.IO) (string, int) {
		t.Helper()
		var got bytes.Buffer
		io.Stdout = &got
		e.Args = append([]string{"/bin/payload"}, e.Args...)
		code, err := c.Exec(t.Context(), e, io)
		if err != nil {
			t.Fatal(err)
		}
		return got.String(), code
	}
	if got, code := exec(runtime.ExecSpec{Args: []string{"hello"}}, runtime.IO{}); got != "hello from stdout\n" || code != 0 {
		t.Errorf("%q, %d", got, code)
	}
	if _, code := exec(runtime.ExecSpec{Args: []string{"exit", "9"}}, runtime.IO{}); code != 9 {
		t.Errorf("exit %d", code)
	}
	if got, _ := exec(runtime.ExecSpec{Args: []string{"ids"}, User: "worker"}, runtime.IO{}); got != "1000 1000 [29]\n" {
		t.Errorf("ids %q", got)
	}
	if got, _ := exec(runtime.ExecSpec{Args: []string{"status"}}, runtime.IO{}); !strings.Contains(got, "NoNewPrivs:\t1") || !strings.Contains(got, "Seccomp:\t2") {
		t.Errorf("an executed process is less confined:\n%s", got)
	}
	if got, _ := exec(runtime.ExecSpec{Args: []string{"copy"}}, runtime.IO{Stdin: strings.NewReader("input")}); got != "input" {
		t.Errorf("input came back as %q", got)
	}
	if got, _ := exec(runtime.ExecSpec{Args: []string{"env"}, Env: []string{"MINE=2"}, Cwd: "/tmp"}, runtime.IO{}); !strings.Contains(got, "MINE=2") || !strings.Contains(got, "cwd: /tmp") {
		t.Errorf("environment:\n%s", got)
	}
	input, keyboard := io.Pipe()
	defer keyboard.Close()
	if got, code := exec(runtime.ExecSpec{Args: []string{"tty"}, Started: func(*runtime.ExecProcess) {
		go fmt.Fprintln(keyboard, "typed")
	}}, runtime.IO{Tty: true, Stdin: input, Rows: 30, Cols: 100}); code != 0 || !strings.Contains(got, "terminal 30 100") || !strings.Contains(got, "read typed") {
		t.Errorf("terminal: %q, %d", got, code)
	}
	if _, err := c.Exec(t.Context(), runtime.ExecSpec{Args: []string{"/no/such"}}, runtime.IO{}); err == nil || !strings.Contains(err.Error(), "/no/such") {
		t.Errorf("a program that is not there: %v", err)
	}
	// One that is left alone is killed.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	left := runtime.ExecSpec{Args: []string{"/bin/payload", "ignore"}, Started: func(*runtime.ExecProcess) {
		time.AfterFunc(time.Second, cancel) // runc itself takes its time, and is not what is to be ended
	}}
	if code, err := c.Exec(ctx, left, runtime.IO{}); !errors.Is(err, context.Canceled) || code != 137 {
		t.Errorf("%d, %v", code, err)
	}
	if err := c.Stop(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), runtime.ExecSpec{Args: []string{"/bin/payload"}}, runtime.IO{}); !errors.Is(err, runtime.ErrNotRunning) {
		t.Errorf("executed in a container that has ended: %v", err)
	}
}

func TestTerminalAndInput(t *testing.T) {
	b := newBox(t)
	s := spec("tty")
	s.Tty, s.Stdin = true, true
	input, keyboard := io.Pipe()
	defer keyboard.Close()
	out := newLines()
	c := b.create(b.id(), s, runtime.IO{Stdin: input, Stdout: out, Rows: 40, Cols: 90})
	if err := c.Resize(41, 91); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	out.expect(t, "terminal 41 91")
	if _, err := fmt.Fprintln(keyboard, "typed"); err != nil {
		t.Fatal(err)
	}
	if r := result(t, c); r.ExitCode != 0 || r.StdoutDigest != sha256.Sum256([]byte(out.String())) || !strings.Contains(out.String(), "read typed\r\n") {
		t.Errorf("%+v\n%s", r, out)
	}

	s = spec("copy")
	s.Stdin = true
	out = newLines()
	c = b.start(s, runtime.IO{Stdin: strings.NewReader("all of it"), Stdout: out})
	if r := result(t, c); r.ExitCode != 0 || out.String() != "all of it" {
		t.Errorf("%+v, %q", r, out)
	}
}

func TestLogs(t *testing.T) {
	b := newBox(t)
	out := newLines()
	c := b.start(spec("ticks"), runtime.IO{Stdout: out})
	followed := newLines()
	done := make(chan error, 1)
	go func() {
		done <- b.Logs(t.Context(), c.ID(), store.Query{Follow: true, Tail: -1}, func(e store.Entry) error {
			_, err := followed.Write(e.Data)
			return err
		})
	}()
	followed.expect(t, "tick 3\n")
	if err := c.Kill(t.Context(), int(unix.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	r := result(t, c)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("following does not end")
	}
	if followed.String() != out.String() || sha256.Sum256([]byte(followed.String())) != r.StdoutDigest {
		t.Errorf("the log holds\n%s, written was\n%s", followed, out)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var tail strings.Builder
	err := b.Logs(t.Context(), c.ID(), store.Query{Tail: 2}, func(e store.Entry) error {
		tail.Write(e.Data)
		return nil
	})
	if err != nil || strings.Count(tail.String(), "\n") != 2 || !strings.HasSuffix(out.String(), tail.String()) {
		t.Errorf("the tail is %q, %v", tail.String(), err)
	}
}

// What containers write is watched: the log has all of it, none of it was slowed
// down, and it is compared with what the workload wrote before.
func TestOutputIsWatched(t *testing.T) {
	b := newBox(t)
	write := func() *runtime.Container {
		c := b.start(spec("flood", fmt.Sprint(64<<10)), runtime.IO{})
		if buckets := b.Buckets(); len(buckets) == 0 || buckets[0].After <= 0 || buckets[0].After > buckets[0].Burst {
			t.Errorf("%+v", buckets)
		}
		if r := result(t, c); r.ExitCode != 0 || r.Err != nil {
			t.Fatalf("%+v", r)
		}
		return c
	}
	first := write()
	r := first.Result()
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	facts, err := b.LogFacts(t.Context())
	if err != nil || len(facts) != 2 || facts[0].Written != r.StdoutDigest || facts[0].Stored != r.StdoutDigest || facts[1].Stored != r.StderrDigest {
		t.Errorf("%+v, error %v", facts, err)
	}
	second := write()
	if d := b.Drift(second.ID()); !d.Known || d.Drifted || d.Divergence > 0.1 {
		t.Errorf("of the same output: %+v", d)
	}
	if out := b.OutputFacts(); len(out) != 1 || out[0].Container != second.ID() {
		t.Errorf("%d comparisons", len(out))
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(t.Context(), first.ID()); err != nil {
		t.Fatal(err)
	}
	if d := b.Drift(first.ID()); d.Known {
		t.Errorf("of a container that is gone: %+v", d)
	}
}

// slow is a client that takes its time for each piece.
type slow struct{ n int }

func (s *slow) Write(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	s.n += len(p)
	return len(p), nil
}

func TestClients(t *testing.T) {
	b := newBox(t)
	const size = 4 << 20
	var want bytes.Buffer
	for n := size; n > 0; n -= 64 {
		fmt.Fprintf(&want, "%063d\n", n)
	}
	digest := sha256.Sum256(want.Bytes())
	client := &slow{}
	c := b.start(spec("flood", fmt.Sprint(size)), runtime.IO{Stdout: client})
	if r := result(t, c); r.StdoutDigest != digest || client.n != size || r.Err != nil {
		t.Errorf("a slow client got %d bytes: %+v", client.n, r)
	}
	reader, writer := io.Pipe()
	reader.Close()
	c = b.start(spec("flood", fmt.Sprint(size)), runtime.IO{Stdout: writer})
	if r := result(t, c); r.StdoutDigest != digest || r.ExitCode != 0 || r.Err != nil {
		t.Errorf("a client that is gone: %+v", r)
	}
}

func TestVolumes(t *testing.T) {
	b := newBox(t)
	mount := func(source, target string, readOnly bool, args ...string) *entroosv1.WorkloadSpec {
		s := spec(args...)
		s.Mounts = []*entroosv1.VolumeMount{{Source: source, Target: target, ReadOnly: readOnly}}
		return s
	}
	b.mustRun(mount("data", "/data", false, "write", "/data/file", "kept"))
	if got := b.mustRun(mount("data", "/data", true, "cat", "/data/file")); got != "kept\n" {
		t.Errorf("another container reads %q", got)
	}
	if got := b.mustRun(mount("data", "/data", true, "stat", "/data/file")); got != "/data/file 0:0 100644\n" {
		t.Errorf("it belongs to %q", got)
	}
	if got := command(t, "/bin/payload", "stat", b.config.Volumes+"/data/file"); !strings.HasSuffix(got, " 0:0 100644\n") {
		t.Errorf("on the box it is %q", got)
	}
	if _, _, r := b.run(mount("data", "/data", true, "write", "/data/file", "changed")); r.ExitCode == 0 {
		t.Error("a read-only volume was written to")
	}
	// A new volume has the owner that the image's folder has.
	worker := mount("home", "/home/worker", false, "write", "/home/worker/new", "text")
	worker.User = "worker"
	b.mustRun(worker)
	b.mustRun(mount(filepath.Join(b.config.Volumes, "deep", "folder"), "/data", false, "write", "/data/file", "deep"))

	for _, bad := range []string{"/etc", b.config.Volumes + "/../images", b.config.Volumes + "/data/link"} {
		if strings.HasSuffix(bad, "link") {
			if err := os.Symlink("/etc", bad); err != nil {
				t.Fatal(err)
			}
		}
		s := mount(bad, "/data", false, "hello")
		w, err := b.Resolve(s)
		if err != nil {
			continue
		}
		id := b.id()
		if _, err := b.Create(t.Context(), id, w, runtime.IO{}); err == nil {
			t.Errorf("volume %s was mounted", bad)
		}
		if err := b.Remove(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
}

func TestImagesInUse(t *testing.T) {
	b := newBox(t)
	c := b.create(b.id(), spec("wait"), runtime.IO{})
	if err := b.RemoveImage(t.Context(), testImage); !errors.Is(err, oci.ErrInUse) {
		t.Errorf("an image was removed under a container: %v", err)
	}
	if err := errors.Join(c.Close(t.Context()), b.Remove(t.Context(), c.ID())); err != nil {
		t.Fatal(err)
	}
	if err := b.RemoveImage(t.Context(), testImage); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Join(b.config.Images, "layers")); err != nil || len(entries) > 0 {
		t.Errorf("layers are left: %v, %v", entries, err)
	}
}

// TestRecover has a second life find what a first one left in the middle.
func TestRecover(t *testing.T) {
	b := newBox(t)
	s := spec("wait")
	s.Ports = []*entroosv1.PortMapping{{HostPort: 9090, ContainerPort: 80}}
	w, err := b.Resolve(s)
	if err != nil {
		t.Fatal(err)
	}
	id := b.id()
	c, err := b.Create(t.Context(), id, w, runtime.IO{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{b.config.Containers + "/unknown/upper", b.config.Images + "/staging/layer-1", b.config.Images + "/layers/unknown"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	next, err := runtime.New(b.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := result(t, c); r.Signal != int(unix.SIGKILL) {
		t.Errorf("%+v", r)
	}
	if mounts := command(t, "/bin/payload", "cat", "/proc/self/mountinfo"); strings.Contains(mounts, b.config.Run+"/bundles") {
		t.Errorf("a mount is left:\n%s", mounts)
	}
	for _, gone := range []string{b.config.Containers + "/unknown", b.config.Images + "/staging/layer-1", b.config.Images + "/layers/unknown", "/sys/fs/cgroup/workloads/" + id} {
		if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", gone, err)
		}
	}
	_ = c.Close(t.Context()) // its life has ended; it gives the port back
	again, err := next.Create(t.Context(), id, w, runtime.IO{})
	if err != nil {
		t.Fatal(err)
	}
	if again.IP() != c.IP() {
		t.Errorf("the address changed from %s to %s", c.IP(), again.IP())
	}
	if err := errors.Join(again.Close(t.Context()), next.Remove(t.Context(), id)); err != nil {
		t.Error(err)
	}
}

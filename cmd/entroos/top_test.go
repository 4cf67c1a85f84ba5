package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/creack/pty"
	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// WatchUsage tells of a container that uses half a core, a service that idles,
// and enough services more to fill a screen.
func (b *fakeBox) WatchUsage(ctx context.Context, r *connect.Request[entroosv1.WatchUsageRequest], stream *connect.ServerStream[entroosv1.WatchUsageResponse]) error {
	b.note(r.Msg)
	interval := time.Duration(r.Msg.IntervalMillis) * time.Millisecond
	now := time.Unix(1_800_000_000, 0)
	for i := uint64(0); ; i++ {
		passed := i * uint64(interval.Microseconds())
		u := &entroosv1.WatchUsageResponse{
			TimeUnixNano: now.UnixNano(),
			Box:          &entroosv1.Usage{CpuMicros: 7_000_000 + passed, MemoryBytes: 103 << 20, MemoryLimitBytes: 480 << 20, Pids: 83},
			Containers: []*entroosv1.Usage{
				{Name: "idle\x1b[2J", ContainerId: strings.Repeat("b", 64), CpuMicros: 5, MemoryBytes: 1 << 20, Pids: 1},
				{Name: "web", ContainerId: strings.Repeat("a", 64), CpuMicros: 1_000_000 + passed/2, MemoryBytes: 12 << 20, MemoryLimitBytes: 64 << 20, Pids: 3, IoReadBytes: 4096},
			},
			Services:  []*entroosv1.Usage{{Name: "ledgerd", CpuMicros: 9_000_000, MemoryBytes: 34 << 20, Pids: 9}},
			Resources: &entroosv1.Resources{Target: 0.2, Utilisation: proto.Float64(0.25), Quota: 0.183},
			Cpus:      4,
		}
		for i := range 30 {
			u.Services = append(u.Services, &entroosv1.Usage{Name: fmt.Sprintf("service-%02d", i)})
		}
		if err := stream.Send(u); err != nil {
			return err
		}
		now = now.Add(interval)
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}

func TestTopOnce(t *testing.T) {
	_, admin := serveFakeBox(t)
	onBox := func(args ...string) (stdout, stderr string, status int) {
		trial := newTrial(admin)
		status = trial.execute(t.Context(), args)
		return trial.stdout.String(), trial.stderr.String(), status
	}
	stdout, stderr, status := onBox("top")
	if status != 0 || stderr != "" {
		t.Fatalf("%d, %q", status, stderr)
	}
	lines := strings.Split(stdout, "\n")
	if want := "CPU 100.0 %   memory 103MiB of 480MiB   83 processes   2 containers"; !strings.Contains(lines[0], want) {
		t.Errorf("no %q in %q", want, lines[0])
	}
	if want := "25.0 % of 4 CPUs, target 20 %, containers may use 18.3 %"; lines[1] != want {
		t.Errorf("%q, not %q", lines[1], want)
	}
	for i, want := range []string{"NAME", "web 50.0 12MiB 64MiB 3 4KiB 0B", "idle?[2J 0.0 1MiB - 1 0B 0B", "(ledgerd) 0.0 34MiB - 9 0B 0B"} {
		if got := strings.Join(strings.Fields(lines[2+i]), " "); !strings.HasPrefix(got, want) {
			t.Errorf("row %d is %q, want %q", i, got, want)
		}
	}
	for _, l := range lines {
		if len(l) > 79 {
			t.Errorf("wider than a serial line: %q", l)
		}
	}
	stdout, _, _ = onBox("top", "--json")
	if !strings.Contains(stdout, `"cpu_micros": 1000000`) || strings.Count(stdout, "\n}") != 1 {
		t.Errorf("--json: %s", stdout)
	}
	if _, stderr, status := onBox("top", "-d", "1ms"); status != 2 || !strings.Contains(stderr, "100ms") {
		t.Errorf("too quick: %d, %q", status, stderr)
	}
}

func TestTopOnTerminal(t *testing.T) {
	for key, name := range map[string]string{"q": "q", "\x03": "Ctrl-C"} {
		c := openConsole(t, 80)
		if err := pty.Setsize(c.Tty(), &pty.Winsize{Cols: 80, Rows: 24}); err != nil {
			t.Fatal(err)
		}
		c.sees(prompt)
		c.types("top -d 1s\r")
		c.sees(clearScreen)
		for range 3 {
			c.sees(home)
			got, err := c.ExpectString(restOfScreen)
			if err != nil {
				t.Fatal(err)
			}
			if rows := strings.Count(got, "\r\n"); rows != 23 || !strings.Contains(got, "more: a taller terminal") {
				t.Errorf("%d rows of 24: %q", rows, got)
			}
		}
		c.sees("50.0")
		c.types(key)
		c.sees(prompt)
		c.types("version\r") // the terminal is as it was
		c.sees("6.12.117")
		c.sees(prompt)
		c.types("exit\r")
		if err := c.process.Wait(); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

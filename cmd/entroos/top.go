package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func newTopCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "top",
		Short: "What containers and services use, live",
		Long: "What containers and services use, live: CPU in percent of one core, memory with the page cache, tasks\n" +
			"(processes and threads), and what they read from and wrote to disks. q or Ctrl-C leaves.\n" +
			"Where there is no terminal it tells once, as with --once.",
		Args: cobra.NoArgs,
	}
	once := c.Flags().Bool("once", false, "tell once, over one interval")
	asJSON := c.Flags().Bool("json", false, "print once, as JSON; CPU time is a sum since the start")
	interval := c.Flags().DurationP("interval", "d", 2*time.Second, "time between two looks")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *interval < 100*time.Millisecond || *interval > time.Hour {
			return usageError(fmt.Errorf("--interval %v is not between 100ms and 1h", *interval))
		}
		t := &top{env: env, interval: *interval}
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			switch {
			case *asJSON:
				return t.json(ctx, b)
			case *once, env.terminal == nil, env.columns() == 0:
				return t.once(ctx, b)
			}
			return t.live(ctx, b)
		})
	}
	return c
}

// top shows what the parts of the box use.
type top struct {
	env      *environment
	interval time.Duration
	before   *entroosv1.WatchUsageResponse
}

var errTopEnough = errors.New("enough was seen")

// watch hands on what the box tells, until show has seen enough.
func (t *top) watch(ctx context.Context, b *box, show func(*entroosv1.WatchUsageResponse) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := b.WatchUsage(ctx, connect.NewRequest(&entroosv1.WatchUsageRequest{IntervalMillis: uint32(t.interval.Milliseconds())}))
	if err != nil {
		return err
	}
	defer stream.Close()
	for stream.Receive() {
		if err := show(stream.Msg()); errors.Is(err, errTopEnough) {
			return nil
		} else if err != nil {
			return err
		}
		t.before = stream.Msg()
	}
	return cmp.Or(stream.Err(), errNoAnswer)
}

func (t *top) json(ctx context.Context, b *box) error {
	return t.watch(ctx, b, func(u *entroosv1.WatchUsageResponse) error {
		if err := t.env.printJSON(jsonMessage{u}); err != nil {
			return err
		}
		return errTopEnough
	})
}

func (t *top) once(ctx context.Context, b *box) error {
	return t.watch(ctx, b, func(u *entroosv1.WatchUsageResponse) error {
		if t.before == nil {
			return nil
		}
		for _, line := range t.lines(u, t.env.columns()) {
			if err := t.env.println(line); err != nil {
				return err
			}
		}
		return errTopEnough
	})
}

// What a terminal is told. All of it is understood by a vt100.
const (
	clearScreen  = "\x1b[H\x1b[J"
	home         = "\x1b[H"
	restOfLine   = "\x1b[K"
	restOfScreen = "\x1b[J"
	reverseOn    = "\x1b[7m"
	reverseOff   = "\x1b[m"
)

// live redraws the screen at each answer until the operator leaves.
func (t *top) live(ctx context.Context, b *box) (err error) {
	fd := int(t.env.terminal.Fd())
	state, err := term.MakeRaw(fd)
	if err != nil {
		return fmt.Errorf("making the terminal raw: %w", err)
	}
	keys, err := newInterruptibleReader(t.env.terminal)
	if err != nil {
		return errors.Join(err, term.Restore(fd, state))
	}
	ctx, cancel := context.WithCancel(ctx)
	left := make(chan bool, 1)
	go func() {
		left <- leaveKey(keys)
		cancel()
	}()
	fmt.Fprint(t.env.stdout, clearScreen)
	err = t.watch(ctx, b, t.draw)
	cancel()
	keys.interrupt()
	byKey := <-left
	keys.close()
	if byKey && cancelled(err) {
		err = nil
	}
	// The last screen stays, and the prompt comes below it.
	if rerr := term.Restore(fd, state); rerr != nil && !hungUp(t.env.terminal) {
		err = errors.Join(err, rerr)
	}
	fmt.Fprintln(t.env.stdout)
	return err
}

// leaveKey waits for q, Ctrl-C or Ctrl-D; false when reading ends otherwise.
func leaveKey(keys io.Reader) bool {
	buf := make([]byte, 64)
	for {
		n, err := keys.Read(buf)
		if bytes.ContainsAny(buf[:n], "qQ\x03\x04") {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// draw fills the screen.
func (t *top) draw(u *entroosv1.WatchUsageResponse) error {
	columns, rows, err := term.GetSize(int(t.env.terminal.Fd()))
	if err != nil || columns == 0 || rows == 0 {
		columns, rows = defaultColumns, defaultRows
	}
	var screen strings.Builder
	screen.WriteString(home)
	lines := t.lines(u, columns-1) // the last column may wrap
	// One row is for the cursor.
	if most := max(rows-1, headLines+1); len(lines) > most {
		lines = append(lines[:most-1:most-1], fmt.Sprintf("and %d more: a taller terminal shows them, and `top --once`", len(lines)-most+1))
	}
	lines[1] = strings.TrimLeft(lines[1]+"   q leaves", " ")
	for i, line := range lines {
		if i == headLines-1 {
			line = reverseOn + line + reverseOff
		}
		screen.WriteString(line + restOfLine + "\r\n")
	}
	screen.WriteString(restOfScreen)
	_, err = io.WriteString(t.env.stdout, screen.String())
	return err
}

// headLines are the lines above the table's rows.
const headLines = 3

// lines are the box in two lines and a table, in lines of at most that many
// columns; 0 is no bound.
func (t *top) lines(u *entroosv1.WatchUsageResponse, columns int) []string {
	seconds := 0.0
	if t.before != nil {
		seconds = float64(u.TimeUnixNano-t.before.TimeUnixNano) / 1e9
	}
	percent := func(now, before *entroosv1.Usage) float64 {
		if before == nil || seconds <= 0 || now.CpuMicros < before.CpuMicros {
			return -1
		}
		return float64(now.CpuMicros-before.CpuMicros) / 1e4 / seconds
	}
	var table bytes.Buffer
	// NAME has what the other columns leave of 80.
	fmt.Fprintf(&table, "%-26s %7s %9s %9s %5s %8s %8s\n", "NAME", "CPU %", "MEMORY", "LIMIT", "TASKS", "READ", "WRITTEN")
	count := 0
	for _, group := range []struct {
		now, before []*entroosv1.Usage
		kind        string
	}{{u.Containers, t.before.GetContainers(), "container"}, {u.Services, t.before.GetServices(), "service"}} {
		rows := make([]topRow, 0, len(group.now))
		for _, now := range group.now {
			rows = append(rows, topRow{now, percent(now, findUsage(group.before, now)), group.kind})
		}
		slices.SortStableFunc(rows, func(a, b topRow) int {
			return cmp.Or(cmp.Compare(b.percent, a.percent), strings.Compare(a.Name, b.Name))
		})
		for _, r := range rows {
			fmt.Fprintln(&table, r)
		}
		if group.kind == "container" {
			count = len(rows)
		}
	}
	head := fmt.Sprintf("%s   CPU %s   memory %s of %s   %d processes   %d containers",
		time.Unix(0, u.TimeUnixNano).UTC().Format("15:04:05"), strings.TrimSpace(percentText(percent(u.Box, t.before.GetBox()))+" %"),
		bytesText(u.Box.GetMemoryBytes()), bytesText(u.Box.GetMemoryLimitBytes()), u.Box.GetPids(), count)
	lines := []string{clip(head, columns), clip(resourcesText(u, percent(u.Box, t.before.GetBox())), columns)}
	for line := range strings.Lines(table.String()) {
		lines = append(lines, clip(strings.TrimRight(line, " \n"), columns))
	}
	return lines
}

// resourcesText says what of the box is used, given its use in percent of one
// core, against what is aimed at.
func resourcesText(u *entroosv1.WatchUsageResponse, percent float64) string {
	r := u.Resources
	if r == nil || u.Cpus == 0 {
		return ""
	}
	used := percent // unknown
	if percent >= 0 {
		used = percent / float64(u.Cpus)
	}
	text := fmt.Sprintf("%s %% of %d CPUs, %s", percentText(used), u.Cpus, targetText(r))
	if r.Quota < 1 {
		text += fmt.Sprintf(", containers may use %.1f %%", r.Quota*100)
	}
	return text
}

// topRow is one part of the box in the table.
type topRow struct {
	*entroosv1.Usage
	percent float64 // negative is unknown
	kind    string
}

func (r topRow) String() string {
	name := printable(r.Name)
	if r.kind == "service" {
		name = "(" + name + ")"
	}
	limit := "-"
	if r.MemoryLimitBytes != 0 {
		limit = bytesText(r.MemoryLimitBytes)
	}
	return fmt.Sprintf("%-26s %7s %9s %9s %5d %8s %8s", clip(name, 26), percentText(r.percent), bytesText(r.MemoryBytes), limit,
		r.Pids, bytesText(r.IoReadBytes), bytesText(r.IoWriteBytes))
}

func percentText(p float64) string {
	if p < 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", p)
}

// findUsage is the same part's earlier usage, or nil.
func findUsage(all []*entroosv1.Usage, of *entroosv1.Usage) *entroosv1.Usage {
	for _, u := range all {
		if u.Name == of.Name && u.ContainerId == of.ContainerId {
			return u
		}
	}
	return nil
}

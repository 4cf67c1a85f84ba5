package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// progressBar shows how far a step is, on one line of a terminal. Where there is
// no terminal it prints each step once.
type progressBar struct {
	out     io.Writer
	columns int // of the terminal; 0 is none
	quiet   bool

	step    string
	began   time.Time
	shown   time.Time
	pending bool // the line is to be cleared
}

// show tells of a step that has done so much of total, in bytes.
func (b *progressBar) show(step string, done, total int64) {
	if b.quiet {
		return
	}
	now := time.Now()
	if step != b.step {
		b.step, b.began, b.shown = step, now, time.Time{}
		if b.columns == 0 {
			fmt.Fprintln(b.out, step)
		}
	}
	if b.columns == 0 || done < total && now.Sub(b.shown) < 100*time.Millisecond {
		return
	}
	b.shown, b.pending = now, true
	fmt.Fprintf(b.out, "\r\x1b[K%s", b.line(done, total, now.Sub(b.began)))
}

// line is the line for a step that has been going on for so long, in ASCII and
// no wider than the terminal.
func (b *progressBar) line(done, total int64, since time.Duration) string {
	const width = 20
	part := 1.0
	if total > 0 {
		part = float64(done) / float64(total)
	}
	full := int(part * width)
	text := fmt.Sprintf("[%s%s] %3.0f%% %s", strings.Repeat("#", full), strings.Repeat(".", width-full), 100*part, b.step)
	if since > time.Second && done > 0 {
		rate := float64(done) / since.Seconds()
		left := time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second)
		text += fmt.Sprintf(", %s/s, %v left", units.HumanSizeWithPrecision(rate, 3), left)
	}
	return text[:min(len(text), max(b.columns-1, 0))]
}

// clear takes the line away.
func (b *progressBar) clear() {
	if b.pending {
		fmt.Fprint(b.out, "\r\x1b[K")
		b.pending = false
	}
}

package kernelconfig

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// expectedSteps is how many lines make prints for this configuration. It only
// serves the estimate of the time left; a wrong number harms nothing else.
const expectedSteps = 3050

// progress tells how far a build is: on a terminal in one line that changes,
// elsewhere in a line for each tenth.
type progress struct {
	out      io.Writer // nil for silence
	terminal bool
	width    int // columns written on the changing line

	started  time.Time
	steps    int
	shown    time.Time
	tenth    int
	leftover []byte
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out, started: time.Now()}
	if file, ok := out.(*os.File); ok {
		p.terminal = term.IsTerminal(int(file.Fd()))
	}
	return p
}

// say prints a line of its own.
func (p *progress) say(text string) {
	if p.out == nil {
		return
	}
	p.close()
	fmt.Fprintf(p.out, "kernel: %s\n", text)
}

// close ends the changing line, if one stands.
func (p *progress) close() {
	if p.width > 0 {
		fmt.Fprintf(p.out, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

// compiling is the writer for make's output: each line is a step. Steps are
// timed from here.
func (p *progress) compiling() io.Writer {
	p.started = time.Now()
	p.steps = 0
	return p
}

// Write counts the lines of make's output.
func (p *progress) Write(output []byte) (int, error) {
	p.leftover = append(p.leftover, output...)
	for {
		line, rest, found := bytes.Cut(p.leftover, []byte("\n"))
		if !found {
			break
		}
		// A step is two blanks, a verb in capitals, and what it makes.
		if bytes.HasPrefix(line, []byte("  ")) {
			p.steps++
		}
		p.leftover = rest
	}
	p.show(time.Now())
	return len(output), nil
}

// show prints how far the build is, when it is time to.
func (p *progress) show(now time.Time) {
	if p.out == nil || p.steps == 0 {
		return
	}
	done := min(float64(p.steps)/expectedSteps, 0.99)
	if p.terminal {
		if now.Sub(p.shown) < 200*time.Millisecond {
			return
		}
		p.shown = now
		const cells = 24
		full := int(done * cells)
		line := fmt.Sprintf("kernel: [%s%s] %2.0f %%, %s", strings.Repeat("#", full), strings.Repeat(".", cells-full), done*100, p.left(now, done))
		fmt.Fprintf(p.out, "\r%-*s", p.width, line)
		p.width = len(line)
		return
	}
	if tenth := int(done * 10); tenth > p.tenth || p.shown.IsZero() {
		p.tenth, p.shown = tenth, now
		fmt.Fprintf(p.out, "kernel: %d %%, %s\n", int(done*100), p.left(now, done))
	}
}

// left estimates the time to the end by the pace so far.
func (p *progress) left(now time.Time, done float64) string {
	elapsed := now.Sub(p.started)
	if elapsed < 5*time.Second || done < 0.01 {
		return "it takes minutes, once"
	}
	remaining := time.Duration(float64(elapsed) * (1 - done) / done)
	return remaining.Round(time.Second).String() + " left"
}

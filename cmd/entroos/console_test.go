package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	expect "github.com/Netflix/go-expect"
	"github.com/creack/pty"
)

// terminal is a console on a pseudo-terminal, as a process of its own.
type terminal struct {
	*testing.T
	*expect.Console
	process *exec.Cmd
}

func openConsole(t *testing.T, columns uint16) *terminal {
	t.Helper()
	_, admin := serveFakeBox(t)
	return openConsoleOn(t, admin, columns)
}

func openConsoleOn(t *testing.T, admin string, columns uint16, flags ...string) *terminal {
	t.Helper()
	console, err := expect.NewConsole(expect.WithDefaultTimeout(20 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { console.Close() })
	if err := pty.Setsize(console.Tty(), &pty.Winsize{Cols: columns, Rows: columns / 3}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], append([]string{"--admin", admin, "console"}, flags...)...)
	cmd.Env = append(os.Environ(), "ENTROOS_TEST_MAIN=1", "TERM=vt220")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = console.Tty(), console.Tty(), console.Tty()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return &terminal{t, console, cmd}
}

// sees waits for a text; all that came is told when it does not come.
func (c *terminal) sees(text string) {
	c.Helper()
	if got, err := c.ExpectString(text); err != nil {
		c.Fatalf("waiting for %q: %v; saw %q", text, err, got)
	}
}

func (c *terminal) types(keys string) {
	c.Helper()
	if _, err := c.Send(keys); err != nil {
		c.Fatal(err)
	}
}

func TestConsole(t *testing.T) {
	c := openConsole(t, 80)
	c.sees("EntroOS 0.1.0 on cellar, ready")
	c.sees("10.0.2.15")
	c.sees(prompt)
	c.types("status\r")
	c.sees("5 in the ledger")
	c.sees("Node:")
	c.sees(prompt)

	c.types("entroos run busybox printf unfinished\r") // the prompt must not overwrite it
	c.sees("unfinished\r\n")
	c.sees(prompt)

	c.types("sto\tw\t\r") // command and container
	c.sees("\nweb\r\n")
	c.sees(prompt)

	c.types("\x1b[A\r") // the line before, again
	c.sees("\nweb\r\n")
	c.sees(prompt)

	c.types("logs -f web\r")
	c.sees("wrong")
	c.types("\x03") // Ctrl-C ends the command, not the console
	c.sees(prompt)

	c.types("half a line\x03")
	c.sees(prompt)
	c.types("echo 'open\r")
	c.sees("Unterminated single-quoted string")
	c.sees(prompt)

	c.types("run -it busybox cat loudly\r")
	c.sees("ready")
	c.types("as \x03 typed")
	c.sees("as \x03 typed")
	c.types("\x04\x04")
	c.sees(prompt)

	c.types("exit\r")
	if err := c.process.Wait(); err != nil {
		t.Error(err)
	}
}

func TestConsoleWithoutSize(t *testing.T) {
	c := openConsole(t, 0) // a serial line
	c.sees(prompt)
	c.types("version\r")
	c.sees("6.12.117")
	c.sees(prompt)
	c.types("\x04") // Ctrl-D leaves
	if err := c.process.Wait(); err != nil {
		t.Error(err)
	}
}

func TestConsoleEndsOnSIGTERM(t *testing.T) {
	c := openConsole(t, 80)
	c.sees(prompt)
	if err := c.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.process.Wait(); c.process.ProcessState.ExitCode() != 128+15 {
		t.Error(err)
	}
}

func TestConsoleEndsWithItsTerminal(t *testing.T) {
	_, admin := serveFakeBox(t)
	cmd := exec.Command(os.Args[0], "--admin", admin, "console")
	cmd.Env = append(os.Environ(), "ENTROOS_TEST_MAIN=1", "TERM=vt220")
	line, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	var seen []byte
	for buf := make([]byte, 4096); !bytes.Contains(seen, []byte(prompt)); {
		n, err := line.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, buf[:n]...)
	}
	if err := line.Close(); err != nil { // hang up
		t.Fatal(err)
	}
	// Whichever it sees first: that its terminal is gone, or SIGHUP.
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != 128+1 {
		t.Error(err)
	}
}

func TestWordStart(t *testing.T) {
	for line, want := range map[string]int{
		"": 0, "ru": 0, "run ": 4, "run b": 4, "run 'a b": 4, `run a\ b`: 4, `run "a b" c`: 10, "run 'a' ": 8,
	} {
		if got := wordStart(line); got != want {
			t.Errorf("%q: %d, want %d", line, got, want)
		}
	}
}

func TestCompletion(t *testing.T) {
	_, admin := serveFakeBox(t)
	c := &console{env: newTrial(admin).environment}
	c.env.console = true
	for line, want := range map[string]string{
		"sta":             "start status",
		"stat":            "status ",
		"entroos vers":    "version ",
		"vm":              "", // not on a console
		"logs ":           "web hog",
		"logs web ":       "",
		"exec ":           "web ",
		"stop web ":       "", // once is enough
		"logs 01234":      "0123456789ab ",
		"rm fff":          "ffffffffffff ",
		"run --restart a": "always ",
		"run --network=":  "--network=bridge --network=host --network=none",
		"services logs n": "ntp ",
		"rmi bus":         "busybox:latest ",
		"run -d bus":      "busybox:latest ",
		"ledger ex":       "export ",
		"ledger show ":    "#2 #1",
		"ledger show 706": "7069e097f343 ",
		"services kill l": "ledgerd ",
		"run --stop-":     "--stop-signal --stop-timeout",
		"run 'unclosed":   "",
		"import /etc/hos": "/etc/host.conf /etc/hostname /etc/hosts",
	} {
		_, got, _ := c.complete(line, len([]rune(line)))
		if strings.Join(got, " ") != want {
			t.Errorf("%q completes to %q, want %q", line, strings.Join(got, " "), want)
		}
	}
}

// linesClient talks to `console --json-lines`.
type linesClient struct {
	*testing.T
	to   *os.File
	from *bufio.Scanner
	end  chan error
}

func openLines(t *testing.T) *linesClient {
	t.Helper()
	_, admin := serveFakeBox(t)
	in, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &linesClient{t, to, bufio.NewScanner(from), make(chan error, 1)}
	go func() {
		c.end <- serveLines(context.Background(), newTrial(admin).environment, in, out)
		out.Close()
	}()
	t.Cleanup(func() { to.Close(); in.Close(); from.Close() })
	if a := c.answer(); a.Hello != "entroos" {
		t.Fatalf("no hello: %+v", a)
	}
	return c
}

func (c *linesClient) answer() lineAnswer {
	c.Helper()
	if !c.from.Scan() {
		c.Fatalf("no answer: %v", c.from.Err())
	}
	var a lineAnswer
	if err := json.Unmarshal(c.from.Bytes(), &a); err != nil {
		c.Fatalf("%v in %s", err, c.from.Bytes())
	}
	return a
}

// ask runs a command and gathers its answers.
func (c *linesClient) ask(line string) (stdout, stderr string, exit int) {
	c.Helper()
	if _, err := c.to.WriteString(line + "\n"); err != nil {
		c.Fatal(err)
	}
	for {
		a := c.answer()
		stdout, stderr = stdout+string(a.Stdout), stderr+string(a.Stderr)
		if a.Exit != nil {
			return stdout, stderr, *a.Exit
		}
	}
}

func TestJSONLines(t *testing.T) {
	c := openLines(t)
	for line, want := range map[string]struct {
		stdout, stderr string
		exit           int
	}{
		`{"args":["run","busybox","echo","hi"]}`:                   {"hi\n", "", 0},
		`{"args":["run","busybox","fail"]}`:                        {"", "failed\n", 3},
		`{"args":["run","-i","busybox","cat"],"stdin":"aW5wdXQ="}`: {"input", "", 0},
		`{"args":["ledger","export","#1"]}`:                        {"proof\x00\xff", "", 0},
		`{"args":["vm"]}`:                                          {"", "entroos: unknown command \"vm\" for \"entroos\"; did you mean rm?\n", 2},
		`nonsense`:                                                 {"", "entroos: a request that is not JSON: invalid character 'o' in literal null (expecting 'u')\n", 2},
		`{"args":["run","busybox","printf","` + strings.Repeat("x", 70<<10) + `"]}`: {strings.Repeat("x", 70<<10), "", 0},
	} {
		stdout, stderr, exit := c.ask(line)
		if stdout != want.stdout || stderr != want.stderr || exit != want.exit {
			t.Errorf("%.80s: %.80q, %q, %d", line, stdout, stderr, exit)
		}
	}
	if _, err := c.to.WriteString(`{"args":["logs","-f","web"]}` + "\n"); err != nil {
		t.Fatal(err)
	}
	if a := c.answer(); string(a.Stdout) != "one\ntwo\n" {
		t.Fatalf("%+v", a)
	}
	if a := c.answer(); string(a.Stderr) != "wrong\n" {
		t.Fatalf("%+v", a)
	}
	if _, stderr, exit := c.ask(`{"cancel":true}`); exit != 1 || stderr != "entroos: cancelled\n" {
		t.Errorf("cancelled: %q, %d", stderr, exit)
	}
	c.to.Close()
	if err := <-c.end; err != nil {
		t.Error(err)
	}
}

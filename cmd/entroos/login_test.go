package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	expect "github.com/Netflix/go-expect"
	"golang.org/x/crypto/bcrypt"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func hashOf(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func TestConsolePassword(t *testing.T) {
	b, admin := serveFakeBox(t)
	b.access <- &entroosv1.WatchAccessResponse{Hostname: "cellar", ConsolePassword: hashOf(t, "open sesame")}
	c := openConsoleOn(t, admin, 80, "--login")
	c.sees("EntroOS on cellar")
	c.sees("Password: ")
	for _, keys := range []string{"\x03", "\x04", "\r", "\x1c", "\x1a"} { // no key is a way past it
		c.types(keys)
	}
	c.sees("Password: ")
	start := time.Now()
	c.types("wrong\r")
	c.sees("Wrong password.")
	c.sees("Password: ")
	c.types("wrong again\r")
	c.sees("Wrong password.")
	c.sees("Password: ")
	if took := time.Since(start); took < 3*loginDelay {
		t.Errorf("two wrong passwords took %v", took)
	}
	// What PID 1 prints wipes the prompt away, and comes with a signal.
	if err := c.process.Process.Signal(syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	c.sees("Password: ")
	c.types("open sesame\r")
	c.sees("EntroOS 0.1.0 on cellar, ready")
	c.sees(prompt)
	c.types("exit\r") // asks again
	c.sees("Password: ")
	c.types("open sesame\r")
	c.sees(prompt)
	c.types("\x04") // so does Ctrl-D
	c.sees("Password: ")

	// A new password holds at once, and one that is taken away is not asked for.
	b.access <- &entroosv1.WatchAccessResponse{Hostname: "cellar", ConsolePassword: hashOf(t, "new")}
	b.mu.Lock()
	b.lastAccess = &entroosv1.WatchAccessResponse{Hostname: "cellar", ConsolePassword: hashOf(t, "new")}
	b.mu.Unlock()
	c.types("open sesame\r")
	c.sees("Wrong password.")
	c.sees("Password: ")
	c.types("new\r")
	c.sees(prompt)
	b.mu.Lock()
	b.lastAccess = &entroosv1.WatchAccessResponse{Hostname: "cellar"}
	b.mu.Unlock()
	c.types("exit\r")
	c.sees("on cellar, ready")
	c.sees(prompt)
}

// TestConsoleWithoutAnswerStaysShut: while the box does not say whether there is
// a password, nobody comes in.
func TestConsoleWithoutAnswerStaysShut(t *testing.T) {
	b, admin := serveFakeBox(t) // which does not say
	c := openConsoleOn(t, admin, 80, "--login")
	if got, err := c.Expect(expect.String(prompt), expect.WithTimeout(2*bannerAsk)); err == nil {
		t.Fatalf("let in: %q", got)
	}
	b.access <- &entroosv1.WatchAccessResponse{Hostname: "cellar"}
	c.sees(prompt)
}

func TestPromptIsDrawnAgain(t *testing.T) {
	c := openConsole(t, 80)
	c.sees(prompt)
	c.types("ps --no")
	c.sees("--no")
	if err := c.process.Process.Signal(syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	c.sees(prompt + "ps --no")
	c.types("-trunc\r")
	c.sees("web")
}

// TestHelpFitsAScreen: of 24 lines one is for the prompt.
func TestHelpFitsAScreen(t *testing.T) {
	_, admin := serveFakeBox(t)
	trial := newTrial(admin)
	trial.console = true
	if status := trial.execute(t.Context(), []string{"help"}); status != 0 {
		t.Fatalf("status %d", status)
	}
	lines := strings.Split(strings.TrimSuffix(trial.stdout.String(), "\n"), "\n")
	if len(lines) > defaultRows-1 {
		t.Errorf("%d lines:\n%s", len(lines), trial.stdout.String())
	}
	for _, l := range lines {
		if len(l) >= defaultColumns {
			t.Errorf("too wide: %q", l)
		}
	}
}

func TestBannerTellsOfSSH(t *testing.T) {
	b, admin := serveFakeBox(t)
	b.access <- &entroosv1.WatchAccessResponse{Hostname: "cellar", SshPort: 22}
	c := openConsoleOn(t, admin, 80, "--login")
	c.sees("SSH:         off")
	c.sees(prompt)
	b.mu.Lock()
	b.lastAccess = &entroosv1.WatchAccessResponse{Hostname: "cellar", SshPort: 2022, AuthorizedKeys: []string{"a key"}}
	b.mu.Unlock()
	c.types("exit\r")
	c.sees("entroos --box cellar.local:2022")
	c.sees(prompt)
}

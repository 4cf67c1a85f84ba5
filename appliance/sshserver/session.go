package sshserver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/creack/pty"
	"github.com/kballard/go-shellquote"
	"golang.org/x/crypto/ssh"
)

// sessionGrace is the time between a session's SIGHUP and its SIGKILL.
const sessionGrace = 2 * time.Second

// maxTerm bounds the name of a terminal's kind.
const maxTerm = 64

// session is one SSH session (RFC 4254, 6): at most one program.
type session struct {
	server  *Server
	channel ssh.Channel
	logger  *slog.Logger

	term             string // a terminal is wanted
	window           *pty.Winsize
	master, terminal *os.File    // once there is one
	outputs          []io.Closer // without a terminal, the program's
	process          *exec.Cmd
	cut              atomic.Bool   // some output did not reach the client
	ended            chan struct{} // closed when the program has ended and its status is sent
}

func newSession(server *Server, channel ssh.Channel, logger *slog.Logger) *session {
	return &session{server: server, channel: channel, logger: logger, ended: make(chan struct{})}
}

// serve obeys the client's requests until it leaves or its program has ended,
// and leaves no program behind.
func (s *session) serve(ctx context.Context, requests <-chan *ssh.Request) {
	defer s.channel.Close()
	defer s.closeFiles()
	for {
		select {
		case <-ctx.Done():
			s.hangUp()
			return
		case <-s.ended:
			return
		case req, ok := <-requests:
			if !ok { // the client has gone
				s.hangUp()
				return
			}
			accepted := s.obey(req)
			if req.WantReply {
				_ = req.Reply(accepted, nil) // an error is the connection's end
			}
			if accepted && (req.Type == "shell" || req.Type == "exec") && s.process == nil {
				return // it could not be started, which was said
			}
		}
	}
}

// obey does what one request asks for; false refuses it. Environment variables
// (env), agents (auth-agent-req@openssh.com) and subsystems are refused.
func (s *session) obey(req *ssh.Request) bool {
	switch req.Type {
	case "pty-req":
		return s.wantTerminal(req.Payload)
	case "window-change":
		var size struct{ Columns, Rows, Width, Height uint32 }
		if ssh.Unmarshal(req.Payload, &size) != nil || s.term == "" {
			return false
		}
		return s.resize(size.Columns, size.Rows)
	case "shell":
		return s.process == nil && s.start(nil)
	case "exec":
		var command struct{ Line string }
		if s.process != nil || ssh.Unmarshal(req.Payload, &command) != nil {
			return false
		}
		words, err := shellquote.Split(command.Line)
		if err != nil {
			s.say(err.Error())
			s.exit(2)
			return true
		}
		if len(words) > 0 && words[0] == "entroos" { // as one would type it elsewhere
			words = words[1:]
		}
		return s.start(words)
	case "signal":
		var signal struct{ Name string }
		return ssh.Unmarshal(req.Payload, &signal) == nil && s.signal(signal.Name)
	}
	return false
}

// wantTerminal notes the terminal that the program is to have.
func (s *session) wantTerminal(payload []byte) bool {
	var want struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	if ssh.Unmarshal(payload, &want) != nil || s.process != nil {
		return false
	}
	s.term = want.Term
	if s.term == "" || len(s.term) > maxTerm || strings.ContainsFunc(s.term, notInTerm) {
		s.term = "vt220"
	}
	return s.resize(want.Columns, want.Rows)
}

// notInTerm says which runes the name of a terminal's kind does not have.
func notInTerm(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.+", r))
}

func (s *session) resize(columns, rows uint32) bool {
	const most = 4096
	s.window = &pty.Winsize{Cols: uint16(min(columns, most)), Rows: uint16(min(rows, most))}
	if s.master == nil {
		return true
	}
	return pty.Setsize(s.master, s.window) == nil
}

// start starts the program; false refuses the request. What cannot be started
// is told, and ends with status 127.
func (s *session) start(words []string) bool {
	cmd := s.server.cfg.Command(words)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var copying sync.WaitGroup
	run := s.startPiped
	if s.term != "" {
		cmd.Env = append(cmd.Env, "TERM="+s.term)
		run = s.startOnTerminal
	}
	name := "console"
	if len(words) > 0 {
		name = words[0] // the rest may hold secrets
	}
	s.logger.Info("ssh: session", "command", name, "terminal", s.term != "")
	if err := run(cmd, &copying); err != nil {
		s.logger.Error("ssh: session", "error", err)
		s.say(err.Error())
		s.exit(127)
		return true
	}
	s.process = cmd
	s.server.cfg.Go("ssh session's end", func() { s.await(&copying) })
	return true
}

func (s *session) startOnTerminal(cmd *exec.Cmd, copying *sync.WaitGroup) (err error) {
	if s.master, s.terminal, err = pty.Open(); err != nil {
		return err
	}
	if err := pty.Setsize(s.master, s.window); err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.terminal, s.terminal, s.terminal
	cmd.SysProcAttr.Setctty = true
	if err := cmd.Start(); err != nil {
		return err
	}
	_ = s.terminal.Close() // the program has its own
	s.terminal = nil
	s.server.cfg.Go("ssh terminal's input", func() { _, _ = io.Copy(s.master, s.channel) }) // ends with the session
	copying.Add(1)
	s.server.cfg.Go("ssh terminal's output", func() {
		defer copying.Done()
		// At its end a terminal's read fails with EIO.
		_, _ = io.Copy(s.channel, s.master)
	})
	return nil
}

func (s *session) startPiped(cmd *exec.Cmd, copying *sync.WaitGroup) error {
	// Pipes of our own, unlike Stdin and Stdout: Wait does not wait for input, and
	// output waits for a slow client after the program's end.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.outputs = []io.Closer{stdout, stderr}
	s.server.cfg.Go("ssh session's input", func() {
		_, _ = io.Copy(stdin, s.channel) // either has ended
		_ = stdin.Close()
	})
	copying.Add(2)
	forward := func(to io.Writer, from io.ReadCloser) func() {
		return func() {
			defer copying.Done()
			if _, err := io.Copy(to, from); err != nil {
				s.cut.Store(true)
				_ = from.Close() // the program must not wait for who has gone
			}
		}
	}
	s.server.cfg.Go("ssh session's output", forward(s.channel, stdout))
	s.server.cfg.Go("ssh session's errors", forward(s.channel.Stderr(), stderr))
	return nil
}

// await waits for the program's output and end, and tells the client.
func (s *session) await(copying *sync.WaitGroup) {
	defer close(s.ended)
	copying.Wait() // first: Wait closes the pipes
	err := s.process.Wait()
	state := s.process.ProcessState
	if state == nil {
		s.logger.Error("ssh: session", "error", err)
		s.exit(127)
		return
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		name := signalName(status.Signal())
		_, _ = s.channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Name       string
			Core       bool
			Error, Tag string
		}{Name: name})) // the client may have gone
		return
	}
	code := state.ExitCode()
	if code == 0 && s.cut.Load() {
		code = 1
	}
	s.exit(uint32(code))
}

// exit tells the exit status, and say an error; the client may have gone.
func (s *session) exit(status uint32) {
	_, _ = s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
}

func (s *session) say(text string) { _, _ = io.WriteString(s.channel.Stderr(), "entroos: "+text+"\n") }

// hangUp ends the program: politely, then not.
func (s *session) hangUp() {
	if s.process == nil {
		return
	}
	group := -s.process.Process.Pid // of which it is the leader
	// It may be ending by itself.
	_ = syscall.Kill(group, syscall.SIGHUP)
	timer := time.NewTimer(sessionGrace)
	defer timer.Stop()
	select {
	case <-s.ended:
		return
	case <-timer.C:
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	s.closeFiles() // frees who copies
	<-s.ended
}

func (s *session) closeFiles() {
	for _, f := range []*os.File{s.master, s.terminal} {
		if f != nil {
			_ = f.Close() // a terminal keeps nothing back
		}
	}
	for _, f := range s.outputs {
		_ = f.Close() // for reading; closed when all was read
	}
}

// signals of RFC 4254, 6.10.
var signals = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP,
	"ILL": syscall.SIGILL, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE,
	"QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV, "TERM": syscall.SIGTERM,
	"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
}

func signalName(s syscall.Signal) string {
	for name, signal := range signals {
		if signal == s {
			return name
		}
	}
	return "TERM"
}

// signal passes a signal on to the program's group.
func (s *session) signal(name string) bool {
	signal, known := signals[name]
	if !known || s.process == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
	}
	err := syscall.Kill(-s.process.Process.Pid, signal)
	return err == nil || errors.Is(err, syscall.ESRCH)
}

package nko

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// exitDoNotSupervise is gokrazy's exit status for "do not start me again".
const exitDoNotSupervise = 125

// ProcessSpec is a program run as gokrazy runs its own: HOME is a folder
// /perm/home/<program> of its own, which is also the working directory when
// Dir is empty; PATH, USER and GOKRAZY_FIRST_START are set; it leads a process
// group.
type ProcessSpec struct {
	Path string
	Args []string // without the program's name
	Env  []string // KEY=value, laid over gokrazy's
	Dir  string
	// Home is the folder in which HOMEs are made: /perm/home.
	Home string
	// StopOnSuccess: exit status 0 is the service's wish to be left alone.
	StopOnSuccess bool
	// Terminal, when not nil, gives the device for standard input, output and
	// error. It is asked at each start, may wait until ctx ends, and the file
	// is closed when the program has started.
	Terminal func(ctx context.Context) (*Terminal, error)
}

// Terminal is the device that a console talks on.
type Terminal struct {
	File *os.File
	// Controlling makes it the controlling terminal of a new session.
	Controlling bool
	// Output, when set, leaves standard error to the service's log.
	Output bool
}

// ExitError is the end of a service's process that was no success.
type ExitError struct{ State *os.ProcessState }

func (e *ExitError) Error() string { return e.State.String() }

// Signaled says that a signal ended the process.
func (e *ExitError) Signaled() bool {
	ws, ok := e.State.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled()
}

// runProcess is one life of a process service. started is called when the
// process runs.
func (s *Service) runProcess(ctx context.Context, started func()) error {
	cmd, cleanup, err := s.command(ctx)
	if err != nil {
		return err
	}
	child, err := s.reaper.Spawn(cmd)
	cleanup()
	if err != nil {
		return fmt.Errorf("start %s: %w", s.spec.Process.Path, err)
	}
	s.mu.Lock()
	s.pid, s.child = child.PID(), child
	s.mu.Unlock()
	started()
	select {
	case <-child.reaped:
	case <-ctx.Done():
		s.terminate(child)
	}
	s.sweep(child)
	<-child.Done()
	if child.Err() != nil {
		return child.Err()
	}
	state := child.State()
	switch {
	case state.ExitCode() == exitDoNotSupervise:
		return fmt.Errorf("exit status %d: %w", exitDoNotSupervise, ErrStop)
	case !state.Success():
		return &ExitError{State: state}
	case s.spec.Process.StopOnSuccess:
		return fmt.Errorf("exit status 0: %w", ErrStop)
	}
	return nil
}

// terminate asks the process group to end, and kills it after the grace.
func (s *Service) terminate(child *Child) {
	grace := s.spec.Grace
	if grace == 0 {
		grace = 10 * time.Second
	}
	signalGroup(child, unix.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-child.reaped:
		return
	case <-timer.C:
	}
	s.logger.Warn("service did not stop and is killed", "service", s.spec.Name, "grace", grace)
	signalGroup(child, unix.SIGKILL)
	<-child.reaped
}

// sweep kills what the ended process left behind.
func (s *Service) sweep(child *Child) {
	s.mu.Lock()
	cgroup := s.cgroup
	s.mu.Unlock()
	if cgroup != "" {
		if err := killCgroup(cgroup); err != nil {
			s.logger.Warn("what a service left behind could not be killed", "service", s.spec.Name, "error", err)
		}
		return
	}
	// No process can have been given the group's id while members are left.
	if err := unix.Kill(-child.PID(), unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		s.logger.Warn("what a service left behind could not be killed", "service", s.spec.Name, "error", err)
	}
}

// signalGroup signals the process and its group. The process is not yet
// waited for, or has left the group's id to its other members.
func signalGroup(child *Child, sig unix.Signal) {
	// Either may have ended by itself meanwhile.
	_ = unix.Kill(-child.PID(), sig)
}

// Signal sends sig to the service's process group.
func (s *Service) Signal(sig unix.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return fmt.Errorf("service %s has no process now (%s)", s.spec.Name, s.state)
	}
	if err := unix.Kill(-s.child.PID(), sig); err != nil {
		return fmt.Errorf("signal service %s: %w", s.spec.Name, err)
	}
	return nil
}

// command builds the process's exec.Cmd; cleanup closes what only the child
// needs.
func (s *Service) command(ctx context.Context) (cmd *exec.Cmd, cleanup func(), err error) {
	p := s.spec.Process
	var files []*os.File
	closeAll := func() {
		for _, f := range files {
			_ = f.Close() // nothing was written through it by us
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()

	cmd = &exec.Cmd{
		Path:        p.Path,
		Args:        append([]string{p.Path}, p.Args...),
		Dir:         p.Dir,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	cmd.Stdout = slowWriter{s.log.Writer(false, s.seen), s.bucket}
	cmd.Stderr = slowWriter{s.log.Writer(true, s.seen), s.bucket}
	if p.Terminal != nil {
		s.set(StateWaiting) // for the other end, as long as it takes
		t, err := p.Terminal(ctx)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, t.File)
		cmd.Stdin, cmd.Stdout = t.File, t.File
		if !t.Output {
			cmd.Stderr = t.File
		}
		if t.Controlling {
			// A session's leader leads a process group too.
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
		}
	}
	home := s.home()
	if cmd.Dir == "" {
		cmd.Dir = home
	}
	cmd.Env = s.environment(home)
	if s.tree.Root != "" {
		path, err := s.tree.Service(s.spec.Name)
		if err != nil {
			return nil, nil, err
		}
		dir, err := openCgroup(path)
		if err != nil {
			return nil, nil, fmt.Errorf("cgroup v2: %w", err)
		}
		files = append(files, dir)
		cmd.SysProcAttr.UseCgroupFD = true
		cmd.SysProcAttr.CgroupFD = int(dir.Fd())
		s.mu.Lock()
		s.cgroup = path
		s.mu.Unlock()
	}
	return cmd, closeAll, nil
}

// home makes the program's own folder. Without one (a full or a read-only
// disk) it runs in /.
func (s *Service) home() string {
	if s.spec.Process.Home == "" {
		return "/"
	}
	home := filepath.Join(s.spec.Process.Home, filepath.Base(s.spec.Process.Path))
	if err := os.MkdirAll(home, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		s.logger.Warn("service has no home", "service", s.spec.Name, "error", err)
		return "/"
	}
	return home
}

func (s *Service) environment(home string) []string {
	env := []string{"HOME=" + home, "PATH=/user:/gokrazy:/bin", "USER=root"}
	s.mu.Lock()
	if s.lifetime == 1 {
		env = append(env, "GOKRAZY_FIRST_START=1")
	}
	s.mu.Unlock()
	for _, kv := range s.spec.Process.Env {
		key, _, _ := strings.Cut(kv, "=")
		env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, key+"=") })
		env = append(env, kv)
	}
	return env
}

// seen looks at each line of the process's output for ReadyText.
func (s *Service) seen(text []byte) {
	if s.spec.ReadyText != "" && !s.ready.Load() && bytes.Contains(text, []byte(s.spec.ReadyText)) {
		s.ready.Store(true)
		s.Probe()
	}
}

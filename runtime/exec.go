package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/go-runc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ExecSpec is a process to be executed in a running container.
type ExecSpec struct {
	Args []string
	Env  []string // over the workload's
	Cwd  string   // empty: the workload's
	User string   // empty: the workload's
	// Started is called, if it is not nil, once the process runs.
	Started func(*ExecProcess)
}

// ExecProcess is a process executed in a container, while it runs.
type ExecProcess struct {
	pidfd *os.File
	stdio *stdio
}

// Kill sends it a signal.
func (p *ExecProcess) Kill(signal int) error { return sendSignal(p.pidfd, signal) }

// Resize sets the size of its terminal.
func (p *ExecProcess) Resize(rows, cols uint32) error { return p.stdio.resize(rows, cols) }

// Exec runs a process in the container until it ends, and gives its exit
// status, or 128 plus the number of the signal that ended it. Its output is
// attached's alone: it belongs neither to the container's log nor to its
// digests. When ctx ends, the process is killed. An error is about starting
// it: nothing has run.
func (c *Container) Exec(ctx context.Context, spec ExecSpec, attached IO) (int, error) {
	select {
	case <-c.done:
		return 0, ErrNotRunning
	default:
	}
	if c.Started().IsZero() {
		return 0, ErrNotRunning
	}
	process, err := c.execProcess(spec, attached.Tty)
	if err != nil {
		return 0, err
	}
	// The socket's path must be short.
	dir, err := os.MkdirTemp(c.runtime.config.Run, "exec-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	root := c.record.rootID()
	s, err := c.runtime.newStdio(attached.Tty, attached.Stdin != nil, root+process.User.UID, root+process.User.GID, filepath.Join(dir, "tty"))
	if err != nil {
		return 0, err
	}
	defer s.close()
	pid, err := c.startExec(ctx, dir, process, s)
	if err != nil {
		return 0, fmt.Errorf("exec: %w", err)
	}
	return c.finishExec(ctx, pid, spec, s, attached)
}

func (c *Container) startExec(ctx context.Context, dir string, process *specs.Process, s *stdio) (pid int, err error) {
	opts := &runc.ExecOpts{
		IO: s.pipes, Detach: true, PidFile: filepath.Join(dir, "pid"), LogFile: filepath.Join(dir, "log"),
	}
	if s.socket != nil {
		opts.ConsoleSocket = s.socket
	}
	if err := c.runtime.runc(c.bundle).Exec(ctx, c.id, *process, opts); err != nil {
		return 0, runcError(err, opts.LogFile, s.complaint())
	}
	raw, err := os.ReadFile(opts.PidFile)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

func (c *Container) finishExec(ctx context.Context, pid int, spec ExecSpec, s *stdio, attached IO) (int, error) {
	// It may have ended already; then it is no longer there to be signalled.
	p := &ExecProcess{stdio: s}
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		p.pidfd = os.NewFile(uintptr(fd), "pidfd")
		defer p.pidfd.Close()
	}
	exits, err := c.runtime.processes.WaitPID(pid)
	if err != nil {
		return 0, fmt.Errorf("exec: %w", err)
	}
	if err := c.runtime.connect(s, attached, nil, func(*output) {}); err != nil {
		return 0, fmt.Errorf("exec: %w", err)
	}
	if spec.Started != nil {
		spec.Started(p)
	}
	var exit Exit
	var ok bool
	select {
	case exit, ok = <-exits:
	case <-ctx.Done():
		if err := p.Kill(int(unix.SIGKILL)); err != nil && !errors.Is(err, ErrNotRunning) {
			return 0, err
		}
		exit, ok = <-exits
	}
	if !ok {
		return 0, errors.New("exec: the exit status was lost")
	}
	// A process that it left behind in the container may keep the streams
	// open: what it writes later is nobody's.
	drain(s.outputs, execDrainTime)
	if s.stdin != nil && s.tty == nil {
		_ = s.stdin.Close()
	}
	if exit.Signal != 0 {
		return 128 + exit.Signal, ctx.Err()
	}
	return exit.Code, ctx.Err()
}

// execDrainTime is drainTime for executed processes, who may leave others
// behind.
const execDrainTime = drainTime / 5

// execProcess resolves the spec within the container as it is now.
func (c *Container) execProcess(spec ExecSpec, tty bool) (*specs.Process, error) {
	if len(spec.Args) == 0 || spec.Args[0] == "" {
		return nil, invalid("there is nothing to execute")
	}
	for _, e := range spec.Env {
		if strings.IndexByte(e, '=') <= 0 {
			return nil, invalid("environment %q is not of the form KEY=value", e)
		}
	}
	if err := checkStrings(slices.Concat(spec.Args, spec.Env, []string{spec.Cwd})...); err != nil {
		return nil, err
	}
	w := *c.workload
	env := w.Env
	if spec.User != "" {
		var home string
		var err error
		if w.User, home, err = c.lookupUser(spec.User); err != nil {
			return nil, err
		}
		env = mergeEnv(env, []string{"HOME=" + home})
	}
	if tty && !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "TERM=") }) {
		env = append(slices.Clone(env), "TERM=xterm")
	}
	cwd := w.Cwd
	if spec.Cwd != "" {
		if cwd = path.Clean(spec.Cwd); !path.IsAbs(cwd) {
			return nil, invalid("the working directory %q is not absolute", spec.Cwd)
		}
	}
	score := 0
	return &specs.Process{
		Terminal: tty, Args: spec.Args, Env: mergeEnv(env, spec.Env), Cwd: cwd, User: processUser(w.User),
		Capabilities: processCapabilities(&w), NoNewPrivileges: true, OOMScoreAdj: &score,
	}, nil
}

// lookupUser finds a user in the container's files as they are now. They are
// the container's to change, so nothing that leads out of it is followed, and
// nothing is waited for.
func (c *Container) lookupUser(name string) (User, string, error) {
	root, err := os.OpenRoot(c.bundle.rootfs())
	if err != nil {
		return User{}, "", err
	}
	defer root.Close()
	passwd, err := readWithin(root, "etc/passwd")
	if err != nil {
		return User{}, "", err
	}
	group, err := readWithin(root, "etc/group")
	if err != nil {
		return User{}, "", err
	}
	return lookupUser(name, passwd, group)
}

func readWithin(root *os.Root, name string) ([]byte, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the container's /%s: %w", name, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the container's /%s is not a regular file", name)
	}
	return io.ReadAll(io.LimitReader(f, maxListing))
}

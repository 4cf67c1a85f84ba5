package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/morphzip/store"
	"github.com/entroos/entroos/runtime/network"
	"github.com/entroos/entroos/runtime/oci"
	"github.com/entroos/entroos/runtime/rate"
	"github.com/entroos/entroos/runtime/space"
)

var (
	// ErrExists is returned by Create for a container that was not closed.
	ErrExists = errors.New("the container exists already")
	// ErrNotRunning is returned for a container whose process is not there.
	ErrNotRunning = errors.New("the container is not running")

	errNoTerminal = errors.New("there is no terminal")

	emptyDigest = sha256.Sum256(nil)
)

// Container is one execution of a workload. Its methods may be called
// concurrently.
//
// Create makes its first process, which waits; Start lets it go; when it has
// ended and all its output has been taken, Done is closed and Result is known;
// Close gives back what it held. The container can then be created again under
// its id, and finds what it wrote.
type Container struct {
	id       string
	runtime  *Runtime
	workload *Workload
	record   containerRecord
	bundle   *bundle
	rootfs   *rootfs
	log      *store.Appender
	logFrom  uint64       // the sequence number of what it logs first
	bucket   *rate.Bucket // of what is logged
	habit    *habit
	stdio    *stdio
	fresh    bool // it was not created before
	pid      int
	pidfd    *os.File

	done  chan struct{} // closed when result is set
	ended chan struct{} // closed when its log is on disk, too

	mu      sync.Mutex
	started time.Time
	before  Usage // what making the container took
	result  Result
	closed  bool
	undo    []func() error // what Close does, the last first
}

// Create makes a container: its root file system is mounted, its network is
// ready, its first process waits for Start. A workload that was made under
// this id before and not removed is continued: it has its files, its address
// and its log. When Create fails, nothing is left but the container's record,
// which Remove deletes.
func (r *Runtime) Create(ctx context.Context, id string, w *Workload, attached IO) (_ *Container, err error) {
	if !idPattern.MatchString(id) {
		return nil, invalid("container id %q", id)
	}
	r.mu.Lock()
	if _, ok := r.containers[id]; ok {
		r.mu.Unlock()
		return nil, fmt.Errorf("container %s: %w", id, ErrExists)
	}
	r.containers[id] = nil
	r.mu.Unlock()

	c := &Container{
		id: id, runtime: r, workload: w, done: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := c.create(ctx, attached); err != nil {
		err = errors.Join(fmt.Errorf("create container: %w", space.Explain(err)), c.revert())
		r.mu.Lock()
		delete(r.containers, id)
		r.mu.Unlock()
		return nil, err
	}
	r.mu.Lock()
	r.containers[id] = c
	r.mu.Unlock()
	return c, nil
}

func (c *Container) create(ctx context.Context, attached IO) error {
	r := c.runtime
	image, err := r.images.Get("sha256:" + hex.EncodeToString(c.workload.ImageDigest[:]))
	if err != nil {
		return err
	}
	if err := c.checkRoom(); err != nil {
		return err
	}
	if c.record, err = r.claim(c.id, image.Digest); err != nil {
		return err
	}
	layers := oci.Layers(r.images.Lowers(image))
	if err := c.prepareBundle(); err != nil {
		return err
	}
	if c.workload.Network == NetworkBridge {
		if err := r.network.Publish(c.id, c.record.Slot, c.workload.Ports); err != nil {
			return err
		}
		c.later(func() error { return r.network.Withdraw(c.id) })
	}
	if err := c.mount(layers); err != nil {
		return err
	}
	if err := c.bundle.write(); err != nil {
		return err
	}
	r.written.forget(c.id)
	c.log = r.logs.Appender(logStream(c.id))
	c.logFrom = c.log.Last() + 1
	c.later(c.log.Close)
	root := c.record.rootID()
	c.stdio, err = r.newStdio(c.workload.Tty, c.workload.Stdin, root+c.workload.User.UID, root+c.workload.User.GID, c.bundle.console())
	if err != nil {
		return err
	}
	c.later(func() error { c.stdio.close(); return nil })
	return c.createProcess(ctx, attached)
}

func (c *Container) prepareBundle() error {
	r := c.runtime
	c.bundle = &bundle{
		dir: r.bundleDir(c.id), id: c.id, workload: c.workload, root: c.record.rootID(), slot: c.record.Slot,
		cgroup: r.cgroup(c.id), resolver: r.resolver, weight: r.config.CPUWeight,
	}
	if r.config.MemoryHigh != nil {
		c.bundle.high = r.config.MemoryHigh(c.workload.Limits.MemoryBytes)
	}
	if err := r.resolver.refresh(); err != nil {
		return err
	}
	if err := os.Mkdir(c.bundle.dir, 0o711); err != nil {
		return err
	}
	c.later(func() error { return removeBundle(c.bundle.dir) })
	return os.Chmod(c.bundle.dir, 0o711)
}

// createProcess has runc make the first process and everything around it.
func (c *Container) createProcess(ctx context.Context, attached IO) error {
	r := c.runtime
	command := r.runc(c.bundle)
	opts := &runc.CreateOpts{IO: c.stdio.pipes, PidFile: c.bundle.pidFile()}
	if c.stdio.socket != nil {
		opts.ConsoleSocket = c.stdio.socket
	}
	// From here on a process may be there, whatever runc says.
	c.later(func() error { return r.deleteContainer(c) })
	if err := command.Create(ctx, c.id, c.bundle.dir, opts); err != nil {
		return runcError(err, c.bundle.runcLog(), c.stdio.complaint())
	}
	raw, err := os.ReadFile(c.bundle.pidFile())
	if err != nil {
		return err
	}
	if c.pid, err = strconv.Atoi(strings.TrimSpace(string(raw))); err != nil {
		return fmt.Errorf("runc's pid file: %w", err)
	}
	exits, err := r.processes.WaitPID(c.pid)
	if err != nil {
		return fmt.Errorf("the container's first process: %w", err)
	}
	fd, err := unix.PidfdOpen(c.pid, 0)
	if err != nil {
		return fmt.Errorf("the container's first process: %w", err)
	}
	c.pidfd = os.NewFile(uintptr(fd), "pidfd")
	c.later(c.pidfd.Close)
	if c.workload.Network == NetworkBridge {
		if err := c.attachNetwork(); err != nil {
			return err
		}
	}
	c.bucket = rate.NewBucket(outputRate, outputBurst)
	c.habit = r.habits.get(c.id, c.workload.Digest())
	err = r.connect(c.stdio, attached, c.log, func(o *output) {
		o.bucket = c.bucket
		o.seen = func(data []byte) { c.habit.add(c.id, data, c.drifts) }
	})
	if err != nil {
		return err
	}
	r.spawn("container "+c.id, func() { c.wait(exits) })
	return nil
}

func (c *Container) attachNetwork() error {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", c.pid))
	if err != nil {
		return err
	}
	defer namespace.Close()
	if err := c.runtime.network.Attach(c.record.Slot, namespace); err != nil {
		return err
	}
	c.later(func() error { return c.runtime.network.Detach(c.record.Slot) })
	return nil
}

// later has f done by revert, before what was given earlier.
func (c *Container) later(f func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.undo = append(c.undo, f)
}

func (c *Container) revert() error {
	var errs []error
	for {
		c.mu.Lock()
		n := len(c.undo)
		if n == 0 {
			c.mu.Unlock()
			return errors.Join(errs...)
		}
		f := c.undo[n-1]
		c.undo = c.undo[:n-1]
		c.mu.Unlock()
		errs = append(errs, f())
	}
}

// Start lets the first process go.
func (c *Container) Start(ctx context.Context) error {
	c.mu.Lock()
	if !c.started.IsZero() {
		c.mu.Unlock()
		return errors.New("start container: it was started before")
	}
	c.before = readUsage(cgroupDir(c.runtime.cgroup(c.id)), 0)
	c.started = time.Now()
	c.mu.Unlock()
	if err := c.release(ctx); err != nil {
		return fmt.Errorf("start container: %w", err)
	}
	return nil
}

// wait sees the execution to its end.
func (c *Container) wait(exits <-chan Exit) {
	defer close(c.ended)
	exit, ok := <-exits
	if !ok {
		exit = Exit{At: time.Now(), Code: 255}
	}
	result := Result{ExitCode: exit.Code, Signal: exit.Signal, Finished: exit.At}
	if !ok {
		result.Err = errors.New("the exit status was lost")
	}
	if exit.Signal != 0 {
		result.ExitCode = 128 + exit.Signal
	}
	if !drain(c.stdio.outputs, drainTime) {
		result.Err = errors.Join(result.Err, errors.New("the output did not end, and was given up after 10 s of silence"))
	}
	for _, o := range c.stdio.outputs {
		if o.readErr != nil {
			result.Err = errors.Join(result.Err, fmt.Errorf("read output: %w", o.readErr))
		}
		if o.logErr != nil {
			c.runtime.logger.Error("output could not be logged", "container", c.id, "bytes", o.lost, "error", o.logErr)
			result.Err = errors.Join(result.Err, fmt.Errorf("%d bytes of output are not in the log: %w", o.lost, space.Explain(o.logErr)))
		}
	}
	if _, err := space.Left(c.runtime.config.Containers); err != nil {
		// Else the execution's end need not wait for the disk.
		if err := c.log.Sync(); err != nil {
			result.Err = errors.Join(result.Err, fmt.Errorf("the end of the output is not in the log: %w", space.Explain(err)))
		}
	}
	if c.stdio.stdin != nil && c.stdio.tty == nil {
		_ = c.stdio.stdin.Close() // whoever writes to it sees that nobody reads
	}
	result.StdoutDigest, result.StderrDigest = c.stdio.digests()
	c.habit.end(c.id, c.drifts)

	c.mu.Lock()
	if result.Started = c.started; result.Started.IsZero() {
		result.Started = result.Finished
	}
	cgroup := cgroupDir(c.runtime.cgroup(c.id))
	result.Usage = readUsage(cgroup, result.Finished.Sub(result.Started))
	if !c.started.IsZero() {
		result.Usage = result.Usage.since(c.before)
	}
	killed, err := oomKilled(cgroup)
	if err != nil {
		result.Err = errors.Join(result.Err, fmt.Errorf("whether memory ran out: %w", err))
	}
	result.OOMKilled = killed
	c.result = result
	c.mu.Unlock()
	c.keepWritten(result)
	close(c.done)

	if err := c.log.Close(); err != nil {
		c.runtime.logger.Error("the log is not all on disk", "container", c.id, "error", err)
	}
}

// keepWritten notes what the execution has written, if the log has all of it.
func (c *Container) keepWritten(result Result) {
	var bytes uint64
	lost := 0
	for _, o := range c.stdio.outputs {
		bytes += o.bytes
		lost += o.lost
	}
	if lost == 0 && bytes <= writtenBytes {
		c.runtime.written.add(written{c.id, c.logFrom, c.log.Last(), result.StdoutDigest, result.StderrDigest})
	}
}

// drifts says that what the container writes began, or ceased, to be unlike what
// its workload wrote before.
func (c *Container) drifts(d Drift) {
	if d.Drifted {
		c.runtime.logger.Info("output is unlike what was written before", "container", c.id, "divergence", d.Divergence)
	} else {
		c.runtime.logger.Info("output is as before again", "container", c.id, "divergence", d.Divergence)
	}
}

// Done is closed when the container's first process, and with it all others,
// has ended and its output has been taken.
func (c *Container) Done() <-chan struct{} { return c.done }

// Result is the execution's end, once it is Done.
func (c *Container) Result() Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.result
}

// ID is the container's.
func (c *Container) ID() string { return c.id }

// PID is the first process's, on the box.
func (c *Container) PID() int { return c.pid }

// IP is the container's address on the bridge; the zero Addr with another
// network.
func (c *Container) IP() netip.Addr {
	if c.workload.Network != NetworkBridge {
		return netip.Addr{}
	}
	return network.Address(c.record.Slot)
}

// Started is when Start was called, or the zero time.
func (c *Container) Started() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.started
}

// Resize sets the size of the container's terminal.
func (c *Container) Resize(rows, cols uint32) error { return c.stdio.resize(rows, cols) }

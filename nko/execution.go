package nko

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/runtime"
	"github.com/entroos/entroos/runtime/record"
)

// Execution is one run of a container, from its start record to its receipt.
type Execution struct {
	once   sync.Once
	done   chan struct{} // closed when exited is complete
	exited *entroosv1.RunExited
}

func newExecution() *Execution { return &Execution{done: make(chan struct{})} }

// tell gives the execution's end to those who wait for it; the first word
// counts.
func (e *Execution) tell(end *entroosv1.RunExited) {
	e.once.Do(func() {
		e.exited = end
		close(e.done)
	})
}

// Done is closed when the execution has ended and its receipt is on the disk,
// or could not be brought there, which Exited's error then says.
func (e *Execution) Done() <-chan struct{} { return e.done }

// Exited is the execution's end, after Done.
func (e *Execution) Exited() *entroosv1.RunExited { return e.exited }

// Exit status of what could not be started, as docker has them.
const (
	exitNotStarted    = 125
	exitNotExecutable = 126
	exitNotFound      = 127
)

const (
	// exitUnknown stands for an exit status that nobody saw.
	exitUnknown = -1

	discardTimeout = 30 * time.Second
)

// receiptRetry spaces the attempts to write a receipt to a disk that fails.
var receiptRetry = Backoff{Initial: time.Second, Max: 30 * time.Second, Jitter: 0.2}

// emptyDigest is that of no output at all.
var emptyDigest = sha256.Sum256(nil)

// execute runs the container once. started is called when its process runs, or
// could not be started. It returns when the receipt is on the disk; ran says
// whether the process ran.
func (t *task) execute(ctx context.Context, e *Execution, io runtime.IO, started func(error)) (end *entroosv1.RunExited, ran bool) {
	fail := func(err error) (*entroosv1.RunExited, bool) {
		t.update(func(c *entroosv1.Container) {
			c.State, c.Error = entroosv1.ContainerState_CONTAINER_STATE_EXITED, err.Error()
		})
		started(err)
		return &entroosv1.RunExited{ExitCode: exitNotStarted, Error: err.Error()}, false
	}
	workload, err := t.all.engine.Resolve(t.spec())
	if err != nil {
		return fail(err)
	}
	start := StartRecord{
		Container: t.id, ImageDigest: workload.ImageDigest, WorkloadDigest: workload.Digest(), At: time.Now(),
	}
	rand.Read(start.Nonce[:]) // never fails

	// The start record reaches the disk while the container is made; its
	// process starts only after both.
	begun := make(chan error, 1)
	starting := t.with(func(c *entroosv1.Container) {
		c.State = entroosv1.ContainerState_CONTAINER_STATE_RUNNING
		c.ImageDigest = fmt.Sprintf("sha256:%x", start.ImageDigest)
		c.StartedUnixNano, c.Error = start.At.UnixNano(), ""
		c.QueuedReason, c.QueuedUnixNano = "", 0
	})
	Go("start record", func() {
		begun <- Protect("start record", func() error { return t.all.store.Begin(start, starting) })
	})
	made := t.all.beginMaking()
	defer made()
	container, err := t.all.engine.Create(ctx, t.id, workload, io)
	if berr := <-begun; berr != nil {
		err := fmt.Errorf("container %s is not started: its start record cannot be written: %w", t.name(), berr)
		if container != nil {
			err = errors.Join(err, discard(container))
		}
		return fail(err)
	}
	if err == nil {
		if err = container.Start(ctx); err != nil {
			err = errors.Join(err, discard(container))
		}
	}
	made()
	if err != nil {
		return t.startFailed(start, e, err, started), false
	}
	return t.follow(start, e, workload, container, started), true
}

// discard ends a container whose process was not let go.
func discard(c Container) error {
	ctx, cancel := context.WithTimeout(context.Background(), discardTimeout)
	defer cancel()
	kill := c.Kill(ctx, int(unix.SIGKILL))
	select {
	case <-c.Done():
		kill = nil // it has ended, by this or by itself
	case <-ctx.Done():
	}
	return errors.Join(kill, c.Close(ctx))
}

// startFailed writes the receipt of an execution whose process never ran.
func (t *task) startFailed(start StartRecord, e *Execution, err error, started func(error)) *entroosv1.RunExited {
	r := start.receipt(ledger.OutcomeStartFailed)
	r.FinishedUnixNano = time.Now().UnixNano()
	r.ExitCode = startStatus(err)
	end := &entroosv1.RunExited{ExitCode: r.ExitCode, Error: err.Error()}
	t.finish(r, end, e)
	started(err)
	return end
}

// startStatus tells a program that is missing, or cannot be executed, from
// other failures. runc says which in words alone.
func startStatus(err error) int32 {
	text := err.Error()
	switch {
	case strings.Contains(text, "executable file not found"), strings.Contains(text, "no such file or directory") && strings.Contains(text, "exec"):
		return exitNotFound
	case strings.Contains(text, "exec") && (strings.Contains(text, "permission denied") || strings.Contains(text, "exec format error")):
		return exitNotExecutable
	}
	return exitNotStarted
}

// follow waits for the end of a container that runs, and writes its receipt.
func (t *task) follow(start StartRecord, e *Execution, workload *runtime.Workload, container Container, started func(error)) *entroosv1.RunExited {
	if t.running(workload, container); t.held() {
		// It was stopped while it was made.
		Go("stop "+t.id, func() { t.halt(container, workload, 0) })
	}
	started(nil)
	<-container.Done()
	result := container.Result()
	closed := make(chan error, 1)
	Go("close "+t.id, func() {
		closed <- Protect("close container", func() error { return container.Close(context.Background()) })
	})
	r := start.receipt(outcome(result))
	r.ExitCode, r.Signal, r.OOMKilled = int32(result.ExitCode), int32(result.Signal), result.OOMKilled
	r.StdoutDigest, r.StderrDigest = result.StdoutDigest, result.StderrDigest
	r.StartedUnixNano, r.FinishedUnixNano = result.Started.UnixNano(), result.Finished.UnixNano()
	r.Usage = ledger.Usage(result.Usage)
	end := &entroosv1.RunExited{ExitCode: r.ExitCode, Signal: r.Signal, OomKilled: r.OOMKilled}
	if result.Err != nil {
		end.Error = result.Err.Error()
	}
	t.finish(r, end, e)
	if err := <-closed; err != nil {
		t.all.logger.Error("container left something behind", "container", t.id, "error", err)
	}
	t.running(nil, nil)
	return end
}

// finish writes the receipt, and puts what became of it into end. While the disk
// does not take it, it goes on trying, and the container starts no more; whoever
// waits for the execution is told that there is no receipt yet. Damaged records
// are closed: there the start record remains, which the next boot that can read
// it makes a receipt of.
func (t *task) finish(r *ledger.Receipt, end *entroosv1.RunExited, e *Execution) {
	for attempt := 0; ; attempt++ {
		err := t.write(r, end)
		if err == nil {
			return
		}
		e.tell(&entroosv1.RunExited{ExitCode: end.GetExitCode(), Signal: end.GetSignal(), OomKilled: end.GetOomKilled(), Error: err.Error()})
		if errors.Is(err, record.ErrDamaged) {
			return
		}
		timer := time.NewTimer(receiptRetry.Delay(attempt))
		select {
		case <-timer.C:
		case <-t.all.stopped:
			// At the next boot the start record becomes a receipt
			// "interrupted".
			timer.Stop()
			return
		}
	}
}

// write brings the receipt to the disk, with the container as it is now.
func (t *task) write(r *ledger.Receipt, end *entroosv1.RunExited) error {
	receipt := *r
	c := t.with(func(c *entroosv1.Container) {
		c.State = entroosv1.ContainerState_CONTAINER_STATE_EXITED
		c.StartedUnixNano, c.FinishedUnixNano = r.StartedUnixNano, r.FinishedUnixNano
		c.ExitCode, c.Signal, c.OomKilled = r.ExitCode, r.Signal, r.OOMKilled
		c.Error, c.Pid, c.IpAddress = end.GetError(), 0, ""
	})
	if err := t.all.store.End(&receipt, c); err != nil {
		err = fmt.Errorf("the receipt of container %s cannot be written: %w; free space or replace the disk", t.name(), err)
		t.all.logger.Error("receipt not written", "container", t.id, "error", err)
		t.all.setProblem(err.Error())
		return err
	}
	t.set(c)
	end.ReceiptSequence, end.ReceiptP = receipt.Sequence, fmt.Sprintf("%x", receipt.Proof)
	t.all.setProblem("")
	t.all.wake()
	return nil
}

// receipt begins the receipt of the execution: all but its end.
func (s StartRecord) receipt(o ledger.Outcome) *ledger.Receipt {
	return &ledger.Receipt{
		Nonce: s.Nonce, ImageDigest: s.ImageDigest, WorkloadDigest: s.WorkloadDigest,
		StdoutDigest: emptyDigest, StderrDigest: emptyDigest,
		Outcome: o, StartedUnixNano: s.At.UnixNano(), Usage: unmeasured,
	}
}

var unmeasured = ledger.Usage{
	CPUUserMicros: ledger.NotMeasured, CPUSystemMicros: ledger.NotMeasured,
	MemoryPeakBytes: ledger.NotMeasured, IOReadBytes: ledger.NotMeasured, IOWriteBytes: ledger.NotMeasured,
	PidsPeak: ledger.NotMeasured, WallMicros: ledger.NotMeasured,
}

func outcome(r runtime.Result) ledger.Outcome {
	switch {
	case r.OOMKilled && r.Signal == int(unix.SIGKILL):
		// Another signal means that the kill for want of memory was survived.
		return ledger.OutcomeOOMKilled
	case r.Signal != 0:
		return ledger.OutcomeSignaled
	}
	return ledger.OutcomeExited
}

// interrupted makes the receipt of an execution whose end nobody saw: the box
// stopped. What it used is not measured. Its output digests are those of no
// output: what of the log had reached the disk says nothing about what was
// written.
func (s StartRecord) interrupted() *ledger.Receipt {
	r := s.receipt(ledger.OutcomeInterrupted)
	r.ExitCode = exitUnknown
	r.FinishedUnixNano = time.Now().UnixNano()
	return r
}

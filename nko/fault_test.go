//go:build !guest

package nko

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/runtime"
	"github.com/entroos/entroos/runtime/record"
)

// A panic after the start record leaves a receipt, and the container can be
// started and removed.
func TestPanicEndsExecution(t *testing.T) {
	b := newBench(t)
	b.engine.panics = true
	c, e, err := b.Run(t.Context(), job("panics"), runtime.IO{})
	if err == nil || c == nil {
		t.Fatalf("container %v, error %v", c, err)
	}
	<-e.Done()
	f := <-b.engine.created
	eventually(t, "the container is free", func() bool {
		task, err := b.find("panics")
		return err == nil && !task.active()
	})
	if !f.closed || f.result.Signal != int(unix.SIGKILL) {
		t.Errorf("the container is left: closed %t, %+v", f.closed, f.result)
	}
	all := b.receipts(t)
	if len(all) != 1 || all[0].Outcome != ledger.OutcomeInterrupted || e.Exited().GetReceiptSequence() != 1 {
		t.Fatalf("receipts %+v, end %v", all, e.Exited())
	}
	if now, err := b.Get("panics"); err != nil || now.GetState() != entroosv1.ContainerState_CONTAINER_STATE_EXITED || now.GetPid() != 0 {
		t.Errorf("after the panic: %v %v", now, err)
	}
	b.engine.panics = false
	if _, err := b.Start("panics"); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(t.Context(), "panics", true); err != nil {
		t.Fatal(err)
	}

	b.engine.onCreate = func(string) { panic("create") }
	if _, _, err := b.Run(t.Context(), job("unmade"), runtime.IO{}); err == nil {
		t.Fatal("no error from a panic")
	}
	b.engine.onCreate = nil
	if all := b.receipts(t); len(all) != 3 || all[2].Outcome != ledger.OutcomeStartFailed {
		t.Fatalf("receipts %+v", all)
	}
	if starts, err := b.store.Starts(); err != nil || len(starts) != 0 {
		t.Fatalf("start records %v, error %v", starts, err)
	}
}

// The start record is on the disk before the process starts, whatever happens
// in between.
func TestStoreFailureStartsNothing(t *testing.T) {
	b := newBench(t)
	t.Run("begin fails", func(t *testing.T) {
		c, err := b.create(job("double"))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.store.Begin(StartRecord{Container: c.id}, c.get()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Start("double"); err == nil {
			t.Fatal("started without a start record of its own")
		}
		f := <-b.engine.created
		eventually(t, "the container is discarded", func() bool { return f.closed })
		if n := len(b.receipts(t)); n != 0 {
			t.Fatalf("%d receipts", n)
		}
	})
}

// The disk gives the records no more: what runs goes on, nothing else starts,
// and all are told why.
func TestDamagedStore(t *testing.T) {
	b := newBench(t)
	c, e, err := b.Run(t.Context(), job("steady"), runtime.IO{})
	if err != nil {
		t.Fatal(err)
	}
	running := <-b.engine.created
	if err := os.Truncate(b.path, 8192); err != nil { // a fault for who reads on
		t.Fatal(err)
	}
	if _, _, err := b.Run(t.Context(), job("new"), runtime.IO{}); !errors.Is(err, record.ErrDamaged) {
		t.Fatalf("a run on damaged records: %v", err)
	}
	if err := b.store.Damage(); !errors.Is(err, record.ErrDamaged) {
		t.Errorf("the damage is told as %v", err)
	}
	if now, err := b.Get(c.GetId()); err != nil || now.GetState() != entroosv1.ContainerState_CONTAINER_STATE_RUNNING {
		t.Errorf("the one that ran: %v, %v", now.GetState(), err)
	}
	select {
	case <-e.Done():
		t.Errorf("the one that ran has ended: %v", e.Exited())
	default:
	}
	if _, err := b.store.OutboxLen(); !errors.Is(err, record.ErrDamaged) {
		t.Errorf("the outbox: %v", err)
	}
	running.end(runtime.Result{ExitCode: 3})
	<-e.Done()
	if x := e.Exited(); x.GetExitCode() != 3 || x.GetReceiptSequence() != 0 || !strings.Contains(x.GetError(), record.ErrDamaged.Error()) {
		t.Errorf("its end is told as %v", x)
	}
	if p := b.Problem(); !strings.Contains(p, record.ErrDamaged.Error()) {
		t.Errorf("the problem is %q", p)
	}
}

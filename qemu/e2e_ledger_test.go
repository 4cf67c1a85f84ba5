//go:build vm

package qemu_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/ledger/proof"
)

// TestReceiptVerifies exports a job's receipt and checks it outside the box,
// whole and with each of its bits changed.
func TestReceiptVerifies(t *testing.T) {
	t.Parallel()
	b := boot(t, nil)
	b.importFixture("busybox.tar")
	b.run("run", "--rm", "busybox", "echo", "hello")
	r := b.receipts(1)[0]
	if out := b.run("ledger", "show", r.Proof[:12]); !strings.Contains(out, r.Proof) {
		t.Errorf("ledger show does not print P:\n%s", out)
	}
	file := []byte(b.run("ledger", "export", "#1"))
	trust := b.status().GenesisHash
	b.powerOff()

	path := filepath.Join(t.TempDir(), "receipt.proof")
	verify := func(file []byte, trust string) (string, error) {
		t.Helper()
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(built(t, "entroos"), "ledger", "verify", path, "--trust", trust).CombinedOutput()
		return string(out), err
	}
	out, err := verify(file, trust)
	if err != nil || !strings.Contains(out, r.Proof) {
		t.Fatalf("the exported receipt is refused: %v\n%s", err, out)
	}
	t.Logf("ledger verify:\n%s", out)
	if out, err := verify(file, strings.Repeat("00", 32)); err == nil {
		t.Errorf("verified under a foreign genesis:\n%s", out)
	}
	file[len(file)/2] ^= 1
	if out, err := verify(file, trust); err == nil {
		t.Errorf("verified with a changed bit:\n%s", out)
	}
	file[len(file)/2] ^= 1

	var genesis [32]byte
	if n, err := hex.Decode(genesis[:], []byte(trust)); err != nil || n != len(genesis) {
		t.Fatalf("genesis hash %q: %v", trust, err)
	}
	for bit := range 8 * len(file) {
		file[bit/8] ^= 1 << (bit % 8)
		if _, err := proof.Verify(file, genesis); err == nil {
			t.Fatalf("verified with bit %d of %d changed", bit, 8*len(file))
		}
		file[bit/8] ^= 1 << (bit % 8)
	}
}

// TestLedgerKilled kills ledgerd with -9 while jobs run, end and submit: no
// receipt is lost, none is there twice.
func TestLedgerKilled(t *testing.T) {
	t.Parallel()
	b := boot(t, nil)
	b.importFixture("busybox.tar")
	const rounds, jobs = 3, 4
	for range rounds {
		for i := range jobs {
			b.run("run", "-d", "busybox", "sleep", fmt.Sprint(i))
		}
		b.run("services", "kill", "ledgerd")
	}
	all := b.receipts(rounds * jobs)
	if len(all) != rounds*jobs {
		t.Errorf("%d receipts for %d jobs", len(all), rounds*jobs)
	}
	b.checkUnbroken(all)
	b.until("an empty outbox", func() (bool, string) {
		s := b.status()
		return s.Waiting == 0 && s.Committed == rounds*jobs, fmt.Sprintf("%+v", s)
	})
}

// TestPowerCut pulls the plug when `run` has reported: the receipt is there
// after the next boot, and what ran at the cut is told as interrupted.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	b := boot(t, nil)
	b.importFixture("busybox.tar")
	b.run("run", "-d", "--name", "endless", "busybox", "sleep", "1000000")
	b.run("run", "--rm", "busybox", "echo", "acknowledged")
	if err := b.vm.PowerCut(); err != nil {
		t.Fatal(err)
	}
	b.powerOn()
	b.checkPrevious("interrupted")
	all := b.receipts(2)
	b.checkUnbroken(all)
	outcomes := map[string]int{}
	for _, r := range all {
		outcomes[r.Outcome]++
	}
	if outcomes["exited"] != 1 || outcomes["interrupted"] != 1 || len(all) != 2 {
		t.Errorf("after the power cut the receipts are %+v", all)
	}
	b.checkReady("/dev/vda4")
}

// TestVMExec runs `entroos vm --exec` as an operator would.
func TestVMExec(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, built(t, "entroos"), "vm", "--image", built(t, "entroos.img"), "--exec", "status --json")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if text := strings.TrimSpace(string(out)); !strings.HasPrefix(text, "{") || !strings.HasSuffix(text, "}") || !strings.Contains(text, `"ready"`) {
		t.Errorf("printed %q, want the status alone", out)
	}

	cmd = exec.CommandContext(ctx, built(t, "entroos"), "vm", "--image", built(t, "entroos.img"), "--exec", "run absent")
	cmd.WaitDelay = time.Second
	if out, err := cmd.Output(); cmd.ProcessState.ExitCode() != 125 {
		t.Errorf("running an absent image: %v: %s", err, out)
	}
}

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/ledger/proof"
)

const testChain = "entroos-0123456789abcdef"

var nodeKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// traceEnv makes this binary trace a ledgerd, and says at which write to kill
// it. tracerMain does so, where that can be done.
const traceEnv = "LEDGERD_TEST_TRACE"

var tracerMain func()

// TestMain is ledgerd itself when a test starts this binary as one.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("LEDGERD_TEST_MAIN") != "":
		main()
		os.Exit(0)
	case os.Getenv(traceEnv) != "":
		tracerMain()
	}
	os.Exit(m.Run())
}

func nodeID() [32]byte { return [32]byte(nodeKey.Public().(ed25519.PublicKey)) }

// receipts returns the encodings of the node's first n receipts.
func receipts(t testing.TB, n int) [][]byte {
	t.Helper()
	var out [][]byte
	var previous [32]byte
	for i := range n {
		r := &ledger.Receipt{
			ChainID: testChain, Node: nodeID(), Sequence: uint64(i + 1), Previous: previous,
			Nonce: [32]byte{byte(i), byte(i >> 8)}, Outcome: ledger.OutcomeExited,
		}
		if err := r.Seal(nodeKey); err != nil {
			t.Fatal(err)
		}
		raw, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		out, previous = append(out, raw), r.Proof
	}
	return out
}

// A daemon is ledgerd as a process of its own.
type daemon struct {
	cmd    *exec.Cmd
	home   string
	socket string
	client *ledger.Client
	log    *os.File
}

// command returns ledgerd's command for a home folder.
func command(t testing.TB, home string, args ...string) *daemon {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	id := nodeID()
	d := &daemon{home: home, socket: filepath.Join(filepath.Dir(home), "l.sock")}
	d.cmd = exec.Command(self, append([]string{
		"--home", home, "--socket", d.socket,
		"--chain-id", testChain, "--node", hex.EncodeToString(id[:]),
	}, args...)...)
	d.cmd.Env = append(os.Environ(), "LEDGERD_TEST_MAIN=1")
	d.log, err = os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.log.Close() })
	d.cmd.Stderr = d.log
	d.client = ledger.Dial(d.socket)
	t.Cleanup(d.client.Close)
	return d
}

func start(t testing.TB, home string, args ...string) *daemon {
	t.Helper()
	d := command(t, home, args...)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.cmd.ProcessState == nil {
			_ = d.cmd.Process.Kill()
			_ = d.cmd.Wait()
		}
	})
	d.waitReady(t)
	return d
}

func (d *daemon) waitReady(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		_, err := d.client.Status(ctx)
		if err == nil {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("ledgerd is not ready: %v\n%s", err, d.stderr(t))
		}
	}
}

func (d *daemon) stderr(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(d.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// stop ends ledgerd as its supervisor does.
func (d *daemon) stop(t testing.TB) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, d.stderr(t))
	}
}

func (d *daemon) submit(raw []byte) (ledger.Submission, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return d.client.Submit(ctx, raw)
}

// holdsExactly checks that the ledger holds these receipts, in this order and
// no others, under their tree's root, and that the proofs of some verify.
func (d *daemon) holdsExactly(t testing.TB, want [][]byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	st, err := d.client.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if st.TreeSize != uint64(len(want)) || st.LastSequence != uint64(len(want)) {
		t.Fatalf("%d receipts, the last numbered %d; want %d", st.TreeSize, st.LastSequence, len(want))
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(x []int64) (out []tlog.Hash, err error) {
		for _, i := range x {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for i, raw := range want {
		hashes, err := tlog.StoredHashes(int64(i), raw, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	if root, err := tlog.TreeHash(int64(len(want)), reader); err != nil || !bytes.Equal(root[:], st.TreeRoot) {
		t.Fatalf("root %x, want %x, %v", st.TreeRoot, root, err)
	}
	list, err := d.client.List(ctx, 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range list.Receipts {
		if !bytes.Equal(r.Receipt, want[len(want)-1-i]) {
			t.Fatalf("receipt %d is another", len(want)-i)
		}
	}
	trust, err := hex.DecodeString(st.GenesisHash)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{1, len(want)} {
		file, err := d.client.Export(ctx, fmt.Sprintf("#%d", i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proof.Verify(file, [32]byte(trust)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServe(t *testing.T) {
	d := start(t, filepath.Join(t.TempDir(), "home"))
	info, err := os.Stat(d.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	raws := receipts(t, 3)
	for _, raw := range raws {
		s, err := d.submit(raw)
		if err != nil || s.Outcome != ledger.Committed {
			t.Fatalf("got %+v, %v", s, err)
		}
		again, err := d.submit(raw)
		if err != nil || again != s {
			t.Errorf("again: %+v, %v; before %+v", again, err, s)
		}
	}
	if s, err := d.submit([]byte("receipt")); err != nil || s.Outcome != ledger.Refused || s.Reason == "" {
		t.Errorf("got %+v, %v", s, err)
	}
	d.holdsExactly(t, raws)
	if _, err := d.client.Get(t.Context(), "#4"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := d.client.Get(t.Context(), "?"); err == nil || errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	d.stop(t)
	if strings.Contains(d.stderr(t), "level=ERROR") {
		t.Errorf("errors in the log:\n%s", d.stderr(t))
	}
	d = start(t, d.home)
	d.holdsExactly(t, raws)
	d.stop(t)
}

func TestExit(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	running := start(t, home)
	notAFolder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notAFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged")
	d := start(t, damaged)
	d.stop(t)
	if err := os.WriteFile(filepath.Join(damaged, "ledger.db"), bytes.Repeat([]byte{0xAA}, 40000), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		home    string
		args    []string
		code    int
		message string
	}{
		"another chain":       {home, []string{"--chain-id", "entroos-ffffffffffffffff"}, exitConfig, "is for chain " + testChain + ", not entroos-ffffffffffffffff"},
		"another node":        {home, []string{"--node", strings.Repeat("ab", 32)}, exitConfig, "does not name node abab"},
		"no node":             {home, []string{"--node", ""}, 1, "--node"},
		"no chain id":         {filepath.Join(t.TempDir(), "new"), []string{"--chain-id", ""}, 1, "chain id"},
		"home is a file":      {notAFolder, nil, 1, "not a directory"},
		"home not writable":   {"/proc/ledger", nil, 1, "home folder"},
		"damaged file":        {damaged, nil, 1, "damaged file"},
		"home in use":         {home, nil, 1, "in use by another process"},
		"socket in use":       {filepath.Join(t.TempDir(), "new"), []string{"--socket", running.socket}, 1, "served by another process"},
		"no place for socket": {filepath.Join(t.TempDir(), "new"), []string{"--socket", "/proc/no/such/folder/l.sock"}, 1, "l.sock"},
	} {
		d := command(t, c.home, c.args...)
		err := d.cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != c.code || !strings.Contains(d.stderr(t), c.message) {
			t.Errorf("%s: %v\n%s", name, err, d.stderr(t))
		}
	}
	running.stop(t)
}

// ledgerd is killed at random moments while receipts stream in, over and
// over. What was acknowledged stays, and nothing is there twice.
func TestKillAtRandomMoments(t *testing.T) {
	const kills, count = 6, 60
	raws := receipts(t, count)
	home := filepath.Join(t.TempDir(), "home")
	heights := make([]int64, count) // of those acknowledged
	next := 0
	for range kills {
		d := start(t, home)
		var killed sync.WaitGroup
		killed.Go(func() {
			time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
			_ = d.cmd.Process.Kill()
		})
		for next < count {
			s, err := d.submit(raws[next])
			if err != nil {
				break // killed
			}
			if s.Outcome != ledger.Committed {
				t.Fatalf("receipt %d: %+v", next+1, s)
			}
			heights[next] = s.Height
			next++
		}
		killed.Wait()
		_ = d.cmd.Wait()
	}
	d := start(t, home)
	for i, raw := range raws {
		s, err := d.submit(raw)
		if err != nil || s.Outcome != ledger.Committed || (heights[i] != 0 && s.Height != heights[i]) {
			t.Fatalf("receipt %d: %+v, %v; acknowledged at height %d", i+1, s, err, heights[i])
		}
	}
	d.holdsExactly(t, raws)
	d.stop(t)
}

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/entroos/entroos/ledger"
)

// ledgerd commits receipts, one after the other, and logs each step of
// consensus.
func ledgerd(ctx context.Context, dir, log string, bytes int64, seed uint64) (err error) {
	program := filepath.Join(dir, "ledgerd")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "github.com/entroos/entroos/cmd/ledgerd")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	f, err := os.Create(log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	key := ed25519.NewKeyFromSeed(derive(seed, "key"))
	node := [32]byte(key.Public().(ed25519.PublicKey))
	const chain = "entroos-0123456789abcdef"
	socket := filepath.Join(dir, "l.sock")
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	server := exec.CommandContext(ctx, program, "-home", filepath.Join(dir, "home"), "-socket", socket,
		"-chain-id", chain, "-node", hex.EncodeToString(node[:]), "-verbose")
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	server.Stderr = f
	server.Env = append(os.Environ(), "GOGC=200", "GOMEMLIMIT=1GiB")
	if err := server.Start(); err != nil {
		return err
	}
	client := ledger.Dial(socket)
	defer client.Close()
	err = awaitLedger(ctx, client)
	var previous [32]byte
	for i := uint64(1); err == nil && size(log) < bytes; i++ {
		r := &ledger.Receipt{
			ChainID: chain, Node: node, Sequence: i, Previous: previous,
			Nonce: [32]byte(derive(seed+i, "nonce")), Outcome: ledger.OutcomeExited,
		}
		if err = r.Seal(key); err != nil {
			break
		}
		var raw []byte
		if raw, err = r.MarshalBinary(); err != nil {
			break
		}
		var s ledger.Submission
		if s, err = client.Submit(ctx, raw); err == nil && s.Outcome != ledger.Committed {
			err = fmt.Errorf("receipt %d: %+v", i, s)
		}
		previous = r.Proof
	}
	stop()
	_ = server.Wait() // it was told to end
	return err
}

// derive gives 32 bytes for a number and a purpose.
func derive(n uint64, purpose string) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(purpose), n))
	return sum[:]
}

func awaitLedger(ctx context.Context, client *ledger.Client) error {
	for range 1500 {
		if _, err := client.Status(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("ledgerd does not answer")
}

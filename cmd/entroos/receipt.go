package main

import (
	"encoding/hex"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/ledger"
)

// receiptJSON is a committed receipt as --json prints it. Digests and keys are
// hexadecimal; what was not measured is null.
type receiptJSON struct {
	Version        uint16     `json:"version"`
	ChainID        string     `json:"chain_id"`
	Node           string     `json:"node"`
	Sequence       uint64     `json:"sequence"`
	Previous       string     `json:"previous"`
	Nonce          string     `json:"nonce"`
	ImageDigest    string     `json:"image_digest"` // sha256:..., as images has it
	WorkloadDigest string     `json:"workload_digest"`
	StdoutDigest   string     `json:"stdout_digest"`
	StderrDigest   string     `json:"stderr_digest"`
	ExitCode       int32      `json:"exit_code"`
	Signal         int32      `json:"signal"`
	OOMKilled      bool       `json:"oom_killed"`
	Outcome        string     `json:"outcome"`
	Started        *time.Time `json:"started"`
	Finished       *time.Time `json:"finished"`
	Usage          usageJSON  `json:"usage"`
	ExecutionID    string     `json:"c_id"`
	ExecutionState string     `json:"e_s"`
	Proof          string     `json:"p"`
	Signature      string     `json:"signature"`
	// Where the ledger has it.
	Height    int64      `json:"height"`
	Index     uint64     `json:"index"`
	BlockTime *time.Time `json:"block_time"`
}

// usageJSON is R_u.
type usageJSON struct {
	CPUUserMicros   *uint64 `json:"cpu_user_micros"`
	CPUSystemMicros *uint64 `json:"cpu_system_micros"`
	MemoryPeakBytes *uint64 `json:"memory_peak_bytes"`
	IOReadBytes     *uint64 `json:"io_read_bytes"`
	IOWriteBytes    *uint64 `json:"io_write_bytes"`
	PidsPeak        *uint64 `json:"pids_peak"`
	WallMicros      *uint64 `json:"wall_micros"`
}

// ledgerEntry is a committed receipt, decoded.
type ledgerEntry struct {
	ledger.Receipt
	place *entroosv1.LedgerReceipt
}

func decodeEntry(place *entroosv1.LedgerReceipt) (*ledgerEntry, error) {
	e := &ledgerEntry{place: place}
	if err := e.UnmarshalBinary(place.GetReceipt()); err != nil {
		return nil, fmt.Errorf("the box sent a receipt that cannot be read: %w", err)
	}
	return e, nil
}

func (e *ledgerEntry) json() receiptJSON {
	j := receiptFields(&e.Receipt)
	j.Height, j.Index, j.BlockTime = e.place.Height, e.place.Index, unixNano(e.place.BlockTimeUnixNano)
	return j
}

// receiptFields is a receipt without a place.
func receiptFields(r *ledger.Receipt) receiptJSON {
	measured := func(n uint64) *uint64 {
		if n == ledger.NotMeasured {
			return nil
		}
		return &n
	}
	u := r.Usage
	return receiptJSON{
		Version: r.Version, ChainID: r.ChainID, Node: hex.EncodeToString(r.Node[:]), Sequence: r.Sequence,
		Previous: hex.EncodeToString(r.Previous[:]), Nonce: hex.EncodeToString(r.Nonce[:]),
		ImageDigest:    "sha256:" + hex.EncodeToString(r.ImageDigest[:]),
		WorkloadDigest: hex.EncodeToString(r.WorkloadDigest[:]),
		StdoutDigest:   hex.EncodeToString(r.StdoutDigest[:]), StderrDigest: hex.EncodeToString(r.StderrDigest[:]),
		ExitCode: r.ExitCode, Signal: r.Signal, OOMKilled: r.OOMKilled, Outcome: r.Outcome.String(),
		Started: unixNano(r.StartedUnixNano), Finished: unixNano(r.FinishedUnixNano),
		Usage: usageJSON{
			CPUUserMicros: measured(u.CPUUserMicros), CPUSystemMicros: measured(u.CPUSystemMicros),
			MemoryPeakBytes: measured(u.MemoryPeakBytes), IOReadBytes: measured(u.IOReadBytes),
			IOWriteBytes: measured(u.IOWriteBytes), PidsPeak: measured(u.PidsPeak), WallMicros: measured(u.WallMicros),
		},
		ExecutionID: hex.EncodeToString(r.ContainerID[:]), ExecutionState: hex.EncodeToString(r.ExecutionState[:]),
		Proof: hex.EncodeToString(r.Proof[:]), Signature: hex.EncodeToString(r.Signature[:]),
	}
}

// receiptRows are a receipt's fields for people.
func receiptRows(t *table, r *ledger.Receipt) {
	j := receiptFields(r)
	t.row("Sequence:", fmt.Sprintf("#%d", r.Sequence))
	t.row("Node:", j.Node)
	t.row("Chain:", r.ChainID)
	t.row("Outcome:", outcomeText(r))
	t.row("Started:", timeText(r.StartedUnixNano))
	t.row("Finished:", timeText(r.FinishedUnixNano))
	t.row("Image:", hex.EncodeToString(r.ImageDigest[:]))
	t.row("Workload:", j.WorkloadDigest)
	t.row("Stdout:", j.StdoutDigest)
	t.row("Stderr:", j.StderrDigest)
	t.row("CPU:", fmt.Sprintf("%s user, %s system", microsText(r.Usage.CPUUserMicros), microsText(r.Usage.CPUSystemMicros)))
	t.row("Wall time:", microsText(r.Usage.WallMicros))
	t.row("Memory peak:", measuredText(r.Usage.MemoryPeakBytes, bytesText))
	t.row("I/O:", fmt.Sprintf("%s read, %s written",
		measuredText(r.Usage.IOReadBytes, bytesText), measuredText(r.Usage.IOWriteBytes, bytesText)))
	t.row("Processes:", measuredText(r.Usage.PidsPeak, func(n uint64) string { return fmt.Sprintf("%d at most", n) }))
	t.row("Nonce:", j.Nonce)
	t.row("Previous P:", j.Previous)
	t.row("c_id:", j.ExecutionID)
	t.row("E_s:", j.ExecutionState)
	t.row("P:", j.Proof)
	t.row("Signature:", j.Signature)
}

// outcomeText is "exited with 0" or "ended by signal 9 (SIGKILL)".
func outcomeText(r *ledger.Receipt) string {
	switch r.Outcome {
	case ledger.OutcomeExited:
		return fmt.Sprintf("exited with %d", r.ExitCode)
	case ledger.OutcomeSignaled:
		return fmt.Sprintf("ended by signal %d (%s)", r.Signal, unix.SignalName(syscall.Signal(r.Signal)))
	case ledger.OutcomeOOMKilled:
		return fmt.Sprintf("out of memory, killed (exit %d, signal %d)", r.ExitCode, r.Signal)
	case ledger.OutcomeInterrupted:
		return "interrupted: the box stopped before it saw the end"
	case ledger.OutcomeStartFailed:
		return "did not start"
	}
	return r.Outcome.String()
}

func timeText(ns int64) string {
	if ns == 0 {
		return "-"
	}
	return time.Unix(0, ns).UTC().Format("2006-01-02 15:04:05.000 MST")
}

// minuteText is a time in a list.
func minuteText(ns int64) string {
	if ns == 0 {
		return "-"
	}
	return time.Unix(0, ns).UTC().Format("2006-01-02 15:04")
}

func microsText(n uint64) string {
	return measuredText(n, func(n uint64) string { return (time.Duration(n) * time.Microsecond).String() })
}

func measuredText(n uint64, text func(uint64) string) string {
	if n == ledger.NotMeasured {
		return "not measured"
	}
	return text(n)
}

package appliance

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/nko"
)

// ledgerPatience is how long a status waits for ledgerd.
const ledgerPatience = 2 * time.Second

// versionCache keeps what does not change while the box runs.
type versionCache struct {
	once sync.Once
	runc string
}

// Version gives the versions of what the box is made of.
func (b *Box) Version() *entroosv1.GetVersionResponse {
	b.version.once.Do(func() { b.version.runc = b.runcVersion() })
	return &entroosv1.GetVersionResponse{
		Version: OSVersion(),
		Kernel:  kernelRelease(),
		Runc:    b.version.runc,
		Go:      strings.TrimPrefix(goruntime.Version(), "go"),
	}
}

// OSVersion is VERSION_ID of /etc/os-release; "unknown" when there is none.
func OSVersion() string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_ID="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return "unknown"
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// runcVersion asks runc; the first line is "runc version 1.2.3".
func (b *Box) runcVersion() string {
	var out bytes.Buffer
	cmd := exec.Command("/bin/runc", "--version")
	cmd.Stdout = &out
	child, err := b.Reaper.Spawn(cmd)
	if err != nil {
		return "unknown"
	}
	<-child.Done()
	first, _, _ := strings.Cut(out.String(), "\n")
	if v, ok := strings.CutPrefix(first, "runc version "); ok {
		return v
	}
	return "unknown"
}

// Status gives the box's state.
func (b *Box) Status(ctx context.Context) (*entroosv1.GetStatusResponse, error) {
	up, err := SinceKernelStart()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	ready, previous := b.ready, b.previous
	b.mu.Unlock()
	st := &entroosv1.GetStatusResponse{
		Version:       OSVersion(),
		State:         b.State(),
		Problems:      b.Problems(),
		BootUnixNano:  time.Now().Add(-up).UnixNano(),
		UptimeSeconds: up.Seconds(),
		ReadySeconds:  ready.Seconds(),
		Cpus:          uint32(goruntime.NumCPU()),
		OrphansReaped: b.Reaper.Orphans(),
		DataDevice:    b.Storage.Data,
		PreviousBoot:  &entroosv1.PreviousBoot{End: previous.End, Text: previous.Text},
	}
	st.BootEntry, st.Blessed = b.BootEntry()
	if b.Storage.Disk != nil {
		st.BootDisk = b.Storage.Disk.Device
	}
	if st.Hostname, err = os.Hostname(); err != nil {
		return nil, err
	}
	if st.MemoryTotalBytes, st.MemoryAvailableBytes, err = memory(); err != nil {
		return nil, err
	}
	if st.Addresses, err = Addresses(); err != nil {
		return nil, err
	}
	if st.DataTotalBytes, st.DataFreeBytes, err = dataSpace(); err != nil {
		return nil, err
	}
	if b.Workloads != nil {
		containers := b.Workloads.List(false)
		st.Hints = driftHints(b.withDrift(containers))
		for _, c := range containers {
			if c.GetState() == entroosv1.ContainerState_CONTAINER_STATE_QUEUED {
				st.ContainersQueued++
			} else {
				st.ContainersRunning++
			}
		}
	}
	b.placementStatus(st)
	b.noiseStatus(st)
	st.Resources = b.resources()
	if b.Logs != nil {
		facts := b.Logs.Facts()
		st.LogsBytes, st.LogsStoredBytes = facts.Original, facts.Stored
	}
	b.ledgerStatus(ctx, st)
	return st, nil
}

// ledgerStatus adds what is known of receipts. What is not known of them is a
// problem of the box, and no failure of its status.
func (b *Box) ledgerStatus(ctx context.Context, st *entroosv1.GetStatusResponse) {
	if b.Store == nil {
		return
	}
	unknown := func(what string, err error) {
		st.State = "degraded"
		st.Problems = append(st.Problems, fmt.Sprintf("%s: %v", what, err))
	}
	st.NodeId, st.ChainId = hex.EncodeToString(b.Store.Node[:]), b.Store.ChainID
	var err error
	if st.ReceiptsWaiting, err = b.Store.OutboxLen(); err != nil && b.Store.Damage() == nil { // damage is told by Problems
		unknown("the number of waiting receipts is not known", err)
	}
	executions, accountable := b.Store.Executions() // before the ledger is asked
	ctx, cancel := context.WithTimeout(ctx, ledgerPatience)
	defer cancel()
	l, err := b.Ledger.Status(ctx)
	if err == nil {
		st.GenesisHash, st.ReceiptsCommitted = l.GetGenesisHash(), l.GetTreeSize()
		if accountable == nil {
			accountable = executions.Account(l.GetLastSequence())
		}
		if accountable != nil && b.Store.Damage() == nil {
			unknown("not every execution is accounted for", accountable)
		}
		return
	}
	// Where ledgerd starts, or fails, the services tell.
	if s := b.Supervisor.Service("ledgerd"); s != nil && s.Status().State == nko.StateRunning {
		unknown("the number of receipts in the ledger is not known: ledgerd does not answer; see `services logs ledgerd`", err)
	}
}

// memory gives the box's memory, and how much of it a new program could have,
// in bytes.
func memory() (total, available uint64, err error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			available = kib << 10
		}
	}
	return total, available, nil
}

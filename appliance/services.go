package appliance

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/nko"
)

// ledgerService is the name of the service that keeps the ledger.
const ledgerService = "ledgerd"

// StartLedger starts ledgerd, and the outbox that feeds it.
func (b *Box) StartLedger() error {
	answers := false // at the last look
	_, err := b.Supervisor.Add(nko.ServiceSpec{
		Name: ledgerService,
		Process: &nko.ProcessSpec{
			Path: "/bin/ledgerd",
			Args: []string{
				"--home", b.state + "/ledger",
				"--socket", LedgerSocket,
				"--chain-id", b.Store.ChainID,
				"--node", hex.EncodeToString(b.Store.Node[:]),
			},
			Home: homePath,
		},
		Probe: func(ctx context.Context) error {
			st, err := b.Ledger.Status(ctx)
			if err == nil && st.GetChainId() != b.Store.ChainID {
				return fmt.Errorf("the ledger is that of chain %s, the box's is %s", st.GetChainId(), b.Store.ChainID)
			}
			if err == nil && !answers {
				b.Outbox.Retry()
			}
			answers = err == nil
			return err
		},
	})
	if err != nil {
		return err
	}
	_, err = b.Supervisor.Add(nko.ServiceSpec{Name: "outbox", Run: b.Outbox.Serve})
	return err
}

// startTime starts the NTP client. Its working directory is /, where it cannot
// keep a file: it would set the clock to the time of the last shutdown, without
// comparing.
func (b *Box) startTime(servers []string) error {
	_, err := b.Supervisor.Add(nko.ServiceSpec{
		Name:      ntpService,
		Process:   &nko.ProcessSpec{Path: "/gokrazy/ntp", Args: servers, Dir: "/", Home: homePath},
		ReadyText: "clock set to",
		// Its servers are what the settings say.
		FromSettings: true,
	})
	return err
}

// StartNetwork gives the box its name and addresses, now and whenever
// interfaces or settings change.
func (b *Box) StartNetwork() error {
	network := NewNetwork(b.Supervisor, b.Settings, b.Logger)
	// DHCP clients are among the services before anyone asks whether all are up.
	err := network.follow(b.Config())
	_, aerr := b.Supervisor.Add(nko.ServiceSpec{Name: "network", Run: network.Serve})
	return errors.Join(err, aerr)
}

// StartAdmin starts the admin API on its unix socket and on vsock.
func (b *Box) StartAdmin() error {
	handler := AdminHandler(b)
	_, err := b.Supervisor.Add(nko.ServiceSpec{Name: "admin", Run: func(ctx context.Context) error {
		l, err := ListenUnix(AdminSocket)
		if err != nil {
			return err
		}
		return ServeAdmin(ctx, l, handler)
	}})
	_, verr := b.Supervisor.Add(nko.ServiceSpec{Name: "admin-vsock", Run: func(ctx context.Context) error {
		l, err := ListenVsock(b.Options.VsockLoopback(), b.Logger)
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EADDRNOTAVAIL) {
			// No hypervisor will come while the box runs.
			return fmt.Errorf("%w: %w", err, nko.ErrStop)
		} else if err != nil {
			return err
		}
		return ServeAdmin(ctx, l, handler)
	}})
	return errors.Join(err, verr)
}

// StartWatchdog opens the watchdogs and feeds them from the box's health.
func (b *Box) StartWatchdog() (*Watchdog, error) {
	dog, err := OpenWatchdogs(b.Alive, b.Logger)
	if dog == nil || !dog.armed() {
		return dog, err
	}
	_, aerr := b.Supervisor.Add(nko.ServiceSpec{Name: "watchdog", Run: dog.Serve})
	return dog, errors.Join(err, aerr)
}

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/equations"
)

func newStatusCommand(env *environment) *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "How the box is", Args: cobra.NoArgs}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.GetStatus(ctx, connect.NewRequest(&entroosv1.GetStatusRequest{}))
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(jsonMessage{res.Msg})
			}
			return env.printStatus(res.Msg)
		})
	}
	return c
}

func (env *environment) printStatus(s *entroosv1.GetStatusResponse) error {
	t := &table{}
	t.row("Box:", fmt.Sprintf("%s, EntroOS %s", s.Hostname, s.Version))
	t.row("State:", stateText(s))
	for _, problem := range s.Problems {
		t.row("Problem:", problem)
	}
	for _, hint := range s.Hints {
		t.row("Hint:", hint)
	}
	up := time.Duration(s.UptimeSeconds * float64(time.Second))
	t.row("Up:", strings.ToLower(units.HumanDuration(up)))
	t.row("Last boot:", lastBootText(s.PreviousBoot))
	t.row("Addresses:", dash(strings.Join(s.Addresses, ", ")))
	t.row("CPUs:", cpuText(s.Cpus, s.Resources))
	if brake := s.Resources.GetBrake(); brake != "" {
		t.row("Held back:", "new containers: "+brake)
	}
	t.row("Memory:", usedText(s.MemoryTotalBytes, s.MemoryAvailableBytes))
	data := "none"
	if s.DataDevice != "" {
		data = s.DataDevice + ", " + usedText(s.DataTotalBytes, s.DataFreeBytes)
	}
	t.row("Data:", data)
	t.row("Logs:", logsText(s.LogsBytes, s.LogsStoredBytes))
	t.row("Boot disk:", dash(s.BootDisk))
	t.row("Boot entry:", bootEntryText(s))
	t.row("Node entropy:", nodeEntropyText(s))
	containers := fmt.Sprintf("%d running", s.ContainersRunning)
	if s.ContainersQueued > 0 {
		containers += fmt.Sprintf(", %d queued", s.ContainersQueued)
	}
	t.row("Containers:", containers)
	t.row("Placement:", placementText(s))
	t.row("Receipts:", fmt.Sprintf("%d in the ledger, %d waiting", s.ReceiptsCommitted, s.ReceiptsWaiting))
	t.row("Chain:", dash(s.ChainId))
	t.row("Genesis:", dash(s.GenesisHash))
	t.row("Node:", dash(s.NodeId))
	return env.printTable(t)
}

// placementText says what decides on the start of containers.
func placementText(s *entroosv1.GetStatusResponse) string {
	text := map[string]string{"router": "by routerd", "alone": "without routerd"}[s.Placement]
	if text == "" {
		return dash("")
	}
	if s.PlacementNote != "" {
		text += ": " + s.PlacementNote
	}
	return text
}

// cpuText is "4, 19.8 % used, target 20 %, 11.3 W".
func cpuText(cpus uint32, r *entroosv1.Resources) string {
	text := fmt.Sprint(cpus)
	if r == nil {
		return text
	}
	if r.Utilisation != nil {
		text += fmt.Sprintf(", %.1f %% used", r.GetUtilisation()*100)
	}
	text += ", " + targetText(r)
	if r.Watts > 0 {
		text += fmt.Sprintf(", %.1f W", r.Watts)
	}
	return text
}

// targetText is "target 20 %".
func targetText(r *entroosv1.Resources) string {
	if r.Target >= 1 {
		return "no target"
	}
	return fmt.Sprintf("target %.4g %%", r.Target*100)
}

func stateText(s *entroosv1.GetStatusResponse) string {
	if s.ReadySeconds == 0 {
		return s.State
	}
	return fmt.Sprintf("%s (ready %.2f s after the kernel's start)", s.State, s.ReadySeconds)
}

// bootEntryText is "entroos_0.1.0.efi, blessed".
func bootEntryText(s *entroosv1.GetStatusResponse) string {
	switch {
	case s.BootEntry == "":
		return dash("")
	case s.Blessed:
		return s.BootEntry + ", blessed"
	}
	return s.BootEntry + ", on trial"
}

// nodeEntropyText is "0.83 bits a bit".
func nodeEntropyText(s *entroosv1.GetStatusResponse) string {
	switch {
	case s.NodeEntropyHealthy:
		return fmt.Sprintf("%.2f bits a bit", s.NodeEntropy)
	case s.NodeEntropyAssessed:
		return "0, its noise has failed a health test (more: services logs init)"
	}
	return "not assessed yet"
}

// lastBootText says how the boot before this one ended.
func lastBootText(p *entroosv1.PreviousBoot) string {
	text := map[string]string{
		"reboot": "rebooted", "poweroff": "powered off", "panic": "ended in a kernel panic",
		"init": "ended with the death of PID 1", "watchdog": "reset by the watchdog",
		"interrupted": "ended by a power cut or a reset",
	}[p.GetEnd()]
	if text == "" {
		return "unknown"
	}
	// The text's first line is the cause.
	if cause, _, _ := strings.Cut(p.GetText(), "\n"); cause != "" {
		text += ": " + cause + " (more: services logs init)"
	}
	return text
}

// logsText is "12MiB, which take 1.1MiB (9.2 %)".
func logsText(bytes, stored uint64) string {
	if bytes == 0 {
		return "none"
	}
	return fmt.Sprintf("%s, which take %s (%.1f %%)", bytesText(bytes), bytesText(stored), 100*equations.CompressionRatio(stored, bytes))
}

// usedText is "120MiB of 480MiB used".
func usedText(total, free uint64) string {
	return fmt.Sprintf("%s of %s used", bytesText(total-min(free, total)), bytesText(total))
}

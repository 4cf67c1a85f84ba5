package appliance

import (
	"context"

	"github.com/entroos/entroos/equations"
)

// systemTelemetry is how the box's services and containers have fared.
func (b *Box) systemTelemetry(_ context.Context, t *equations.Telemetry) error {
	if b.Supervisor != nil {
		t.Restarts = b.Supervisor.Restarts()
		t.Services = b.Supervisor.Availability()
		t.Liveness = b.Supervisor.Liveness()
		t.Buckets = append(t.Buckets, b.Supervisor.Buckets()...)
	}
	t.Buckets = append(t.Buckets, b.peers.facts()...)
	if b.Workloads != nil {
		t.Restarts = append(t.Restarts, b.Workloads.Restarts()...)
	}
	if b.Outbox != nil {
		t.Retransmission = b.Outbox.Retransmission()
	}
	return nil
}

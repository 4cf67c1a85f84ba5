package appliance

import (
	"context"

	"github.com/entroos/entroos/equations"
)

// outputTelemetry tells what containers write: against their histories, and as
// it is stored.
func (b *Box) outputTelemetry(ctx context.Context, t *equations.Telemetry) (err error) {
	if b.Runtime == nil {
		return nil
	}
	t.Output = b.Runtime.OutputFacts()
	if t.Logs, err = b.Runtime.LogFacts(ctx); err != nil {
		return err
	}
	buckets := b.Runtime.Buckets()
	for i := range t.Output {
		t.Output[i].Container = b.containerName(t.Output[i].Container)
	}
	for i := range t.Logs {
		t.Logs[i].Container = b.containerName(t.Logs[i].Container)
	}
	for i := range buckets {
		buckets[i].Name = "log of container " + b.containerName(buckets[i].Name)
	}
	t.Buckets = append(t.Buckets, buckets...)
	return nil
}

// containerName is the name of a container, or its id when it is gone.
func (b *Box) containerName(id string) string {
	if b.Workloads != nil {
		if c, err := b.Workloads.Get(id); err == nil {
			return c.GetSpec().GetName()
		}
	}
	return id
}

package appliance

import (
	"context"

	"github.com/entroos/entroos/equations"
)

// morphTelemetry tells of the compressed store.
func (b *Box) morphTelemetry(_ context.Context, t *equations.Telemetry) error {
	if b.Logs != nil {
		t.Morph = b.Logs.Facts()
	}
	return nil
}

//go:build vm

package nko_test

import (
	"os"
	"testing"
	"time"

	"github.com/entroos/entroos/qemu"
)

// TestInGuest runs the tests with the tag guest, as PID 1 of a virtual machine.
func TestInGuest(t *testing.T) {
	t.Parallel()
	args := []string{"-test.v", "-test.timeout=5m"}
	if run := os.Getenv("ENTROOS_GUEST_RUN"); run != "" {
		args = append(args, "-test.run="+run)
	}
	qemu.RunGuestTests(t, qemu.GuestTests{
		Package: "./nko", Args: args, Timeout: 10 * time.Minute,
		Programs: map[string]string{"/bin/forker": "./nko/testdata/forker"},
	})
}

//go:build vm

package runtime_test

import (
	"os"
	"testing"
	"time"

	"github.com/entroos/entroos/qemu"
)

// TestInGuest runs the tests with the tag guest: real containers, in a virtual
// machine.
func TestInGuest(t *testing.T) {
	t.Parallel()
	args := []string{"-test.v", "-test.timeout=15m"}
	if run := os.Getenv("ENTROOS_GUEST_RUN"); run != "" {
		args = append(args, "-test.run="+run)
	}
	qemu.RunGuestTests(t, qemu.GuestTests{
		Package: "./runtime", Args: args, Runc: true, Timeout: 15 * time.Minute,
		Programs: map[string]string{"/bin/payload": "./runtime/testdata/payload"},
	})
}

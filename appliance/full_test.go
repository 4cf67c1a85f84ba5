package appliance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Errors that the kernel finds while the box runs are told, whether or not they
// made the data partition read-only.
func TestDataPartitionWithErrors(t *testing.T) {
	for _, c := range []struct {
		readOnly bool
		count    int
		want     string
	}{
		{false, 0, ""},
		{false, 2, "has errors (2 found"},
		{true, 1, "takes no more writes (1 found"},
		{true, 0, "takes no more writes"},
	} {
		got := damageText("/dev/vda4", c.readOnly, c.count)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) || (got != "" && !strings.Contains(got, "reboot: it is checked")) {
			t.Errorf("read-only %v, %d errors: %q", c.readOnly, c.count, got)
		}
	}
}

// The kernel's count is that of the device which is mounted.
func TestErrorsOfTheMountedDevice(t *testing.T) {
	sys := t.TempDir()
	for name, count := range map[string]string{"vda4": "0\n", "sdb4": "7\n"} {
		folder := filepath.Join(sys, "fs/ext4", name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "errors_count"), []byte(count), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	where := t.TempDir()
	if p := damageOf(where, sys, "/dev/vda4"); p != "" {
		t.Errorf("well: %q", p)
	}
	if p := damageOf(where, sys, "/dev/sdb4"); !strings.Contains(p, "/dev/sdb4 has errors (7 found") {
		t.Errorf("with errors: %q", p)
	}
}

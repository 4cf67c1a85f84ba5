//go:build vm

package qemu_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/entroos/entroos/qemu"
)

// settingsOffset is where the settings partition begins on the disk image.
const settingsOffset = 257 << 20

// writeSettings puts the box's own appliance.yaml on a disk's settings
// partition, as a desktop would.
func writeSettings(t testing.TB, disk, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "appliance.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mcopy", "-o", "-i", fmt.Sprintf("%s@@%d", disk, settingsOffset), file, "::appliance.yaml").CombinedOutput()
	if err != nil {
		t.Fatalf("mcopy: %v: %s", err, out)
	}
}

// configView is what `config show --json` says.
type configView struct {
	Own       string `json:"own"`
	Effective string `json:"effective"`
	Problem   string `json:"problem"`
}

// TestSettings boots a box with settings of its own, changes them while it
// runs, breaks them, and mends them.
func TestSettings(t *testing.T) {
	t.Parallel()
	disk := qemu.Disk{Image: built(t, "entroos.img"), File: filepath.Join(t.TempDir(), "own.img"), Raw: true}
	if out, err := exec.Command("cp", "--sparse=always", disk.Image, disk.File).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	// A file from Windows, with a byte order mark and CRLF.
	const comment = "# The box in the cupboard."
	writeSettings(t, disk.File, "\xef\xbb\xbf"+strings.ReplaceAll(comment+`
hostname: cupboard
network:
  interfaces:
    eth0: {addresses: [10.0.2.77/24], gateway: 10.0.2.2}
  dns: [10.0.2.3]
time:
  servers: [10.0.2.2]
workloads:
  - name: sleeper
    image: busybox
    args: [sleep, "1000000"]
`, "\n", "\r\n"))
	settings := func(c *qemu.Config) { c.Disks = []qemu.Disk{disk} }

	b := boot(t, settings)
	var st struct {
		status
		Hostname  string   `json:"hostname"`
		Addresses []string `json:"addresses"`
	}
	b.get(&st, "status")
	if st.Hostname != "cupboard" || !slices.Equal(st.Addresses, []string{"10.0.2.77/24"}) || st.State != "ready" {
		t.Errorf("the box is %+v", st)
	}
	b.until("the missing image to be told", func() (bool, string) {
		s := b.status()
		return len(s.Problems) == 1 && strings.HasPrefix(s.Problems[0], "workload sleeper: image: "), fmt.Sprint(s.Problems)
	})
	if out := b.run("services"); strings.Contains(out, "dhcp-eth0") {
		t.Errorf("a DHCP client runs beside a static address:\n%s", out)
	}
	// The import goes over that address, and brings the workload its image.
	b.importFixture("busybox.tar")
	b.until("the workload to run", func() (bool, string) {
		out := b.run("ps")
		return strings.Contains(out, "sleeper") && len(b.status().Problems) == 0, out
	})
	sleeper := b.run("ps", "-q")
	if out := b.run("exec", "sleeper", "cat", "/etc/resolv.conf"); !strings.Contains(out, "nameserver 10.0.2.3") {
		t.Errorf("a container's resolv.conf is %q", out)
	}
	b.run("config", "set", "hostname", "attic")
	if _, stderr, exit := b.try("config", "set", "network.dns", "[nonsense]"); exit == 0 || !strings.Contains(stderr, `network.dns[0]: "nonsense" is no IP address`) {
		t.Errorf("exit %d, %q", exit, stderr)
	}
	b.until("the box's new name", func() (bool, string) { b.get(&st, "status"); return st.Hostname == "attic", st.Hostname })
	b.run("config", "set", "network.interfaces.eth0", "{dhcp: true}")
	b.until("an address by DHCP alone", func() (bool, string) {
		b.get(&st, "status")
		return slices.Equal(st.Addresses, []string{"10.0.2.15/24"}), fmt.Sprint(st.Addresses)
	})
	b.powerOff()

	// What was set is there, comments included; then somebody breaks it.
	own := readSettings(t, disk.File)
	if !strings.HasPrefix(own, comment+"\nhostname: attic\n") || !strings.Contains(own, "eth0: {dhcp: true}\n") {
		t.Errorf("the settings are\n%s", own)
	}
	writeSettings(t, disk.File, strings.Replace(own, "hostname:", "hostnme:", 1))
	b = newBox(t, settings)
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	if err := b.vm.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.vm.Expect(ctx, regexp.MustCompile(`entroos: the box's own settings are not followed, and the built-in ones are: appliance\.yaml:2:1: there is no key "hostnme"`)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.vm.Expect(ctx, readyLine); err != nil {
		t.Fatal(err)
	}
	b.get(&st, "status")
	if st.Hostname != "entroos" || st.State != "ready" || len(st.Problems) != 1 {
		t.Errorf("with broken settings the box is %+v", st)
	}
	b.until("the workload to go on", func() (bool, string) { out := b.run("ps", "-q"); return out == sleeper, out })
	if _, stderr, exit := b.try("config", "check"); exit == 0 || !strings.Contains(stderr, "appliance.yaml:2:1: ") {
		t.Errorf("exit %d, %q", exit, stderr)
	}
	b.run("config", "unset", "hostnme")
	var view configView
	b.get(&view, "config", "show")
	if view.Problem != "" || !strings.Contains(view.Effective, "name: sleeper") || strings.Contains(view.Own, "hostnme") {
		t.Errorf("mended, the settings are %+v", view)
	}
	if s := b.status(); len(s.Problems) != 0 {
		t.Errorf("problems %q", s.Problems)
	}
	b.run("config", "set", "workloads", "[]")
	b.until("the workload to be gone", func() (bool, string) { out := b.run("ps", "-aq"); return out == "", out })
}

// readSettings reads the box's own appliance.yaml from a disk.
func readSettings(t testing.TB, disk string) string {
	t.Helper()
	out, err := exec.Command("mtype", "-i", fmt.Sprintf("%s@@%d", disk, settingsOffset), "::appliance.yaml").CombinedOutput()
	if err != nil {
		t.Fatalf("mtype: %v: %s", err, out)
	}
	return string(out)
}

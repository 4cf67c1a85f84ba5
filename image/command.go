package image

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/entroos/entroos/image/hosttool"
)

// Files of the build machine that go into the image.
const (
	bootLoader     = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
	bootStub       = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	staticE2fsck   = "/sbin/e2fsck.static"
	caCertificates = "/etc/ssl/certs/ca-certificates.crt"
)

// requireTools says all that the build machine lacks at once.
func requireTools() error {
	return hosttool.Require("go", "gcc", "mksquashfs", "objcopy", "sgdisk", "mkfs.vfat", "mmd", "mcopy", "mke2fs",
		"/usr/include/seccomp.h", bootLoader, bootStub, staticE2fsck, caCertificates)
}

// command is a program of the build machine.
type command struct {
	name   string
	args   []string
	folder string
	// environment is the program's whole environment; nil means the fixed one.
	environment []string
}

// fixedEnvironment is what programs see that write parts of the image: nothing
// of the caller's settings, and no time but the image's own.
func fixedEnvironment() []string {
	seconds := strconv.FormatInt(epoch.Unix(), 10)
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LC_ALL=C",
		"TZ=UTC",
		"MTOOLSRC=/dev/null",
		"SOURCE_DATE_EPOCH=" + seconds,
		"E2FSPROGS_FAKE_TIME=" + seconds,
	}
}

// run runs a program to its end. What it said is in the error only.
func run(ctx context.Context, c command) error {
	path, err := hosttool.Look(c.name)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, c.args...)
	cmd.Dir = c.folder
	cmd.Env = c.environment
	if cmd.Env == nil {
		cmd.Env = fixedEnvironment()
	}
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", c.name, err, strings.TrimSpace(string(output)))
	}
	return nil
}

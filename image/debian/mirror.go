package debian

import (
	"context"
	"os/exec"
	"strings"
)

// Debian's own mirrors, for machines that do not say which they use.
const (
	defaultMirror         = "http://deb.debian.org/debian"
	defaultSecurityMirror = "http://deb.debian.org/debian-security"
)

// Mirrors are the addresses of Debian's archive and of its security updates that
// this machine's apt uses.
func Mirrors(ctx context.Context) (archive, security string) {
	archive, security = defaultMirror, defaultSecurityMirror
	output, err := exec.CommandContext(ctx, "apt-get", "indextargets",
		"--format", "$(ORIGIN)\t$(LABEL)\t$(SITE)", "Created-By: Packages").Output()
	if err != nil {
		return archive, security // no apt, or none of Debian's: Fetch tells
	}
	for line := range strings.Lines(string(output)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 || fields[0] != "Debian" {
			continue
		}
		switch fields[1] {
		case "Debian":
			archive = fields[2]
		case "Debian-Security":
			security = fields[2]
		}
	}
	return archive, security
}

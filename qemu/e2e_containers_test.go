//go:build vm

package qemu_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/entroos/entroos/qemu"
)

// TestNginx serves a page to this process, outside the machine, from real
// software in a container.
func TestNginx(t *testing.T) {
	t.Parallel()
	port, err := qemu.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	b := boot(t, func(c *qemu.Config) {
		c.Network.Forwards = []qemu.Forward{{HostPort: port, GuestPort: 8080}}
	})
	b.importFixture("nginx.tar")
	if out := b.run("images"); !strings.Contains(out, "nginx") {
		t.Errorf("images does not list nginx:\n%s", out)
	}
	b.run("run", "-d", "--name", "web", "-p", "8080:80", "--restart", "always", "nginx")

	fetch := func() (string, error) {
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	b.until("nginx's page", func() (bool, string) {
		page, err := fetch()
		return err == nil && page == "served by nginx on EntroOS\n", fmt.Sprint(page, err)
	})
	b.until("the request in the log", func() (bool, string) {
		log := b.run("logs", "web")
		return strings.Contains(log, "GET / HTTP/1.1"), log
	})
	if out, _, exit := b.try("exec", "web", "nginx", "-t"); exit != 0 {
		t.Errorf("exec nginx -t: exit %d: %s", exit, out)
	}

	// One that ends by itself comes back by its policy; one that was killed by
	// its operator stays away until it is started, and its receipt says so.
	b.run("exec", "web", "nginx", "-s", "quit")
	if quit := b.receipts(1)[0]; quit.Outcome != "exited" || quit.ExitCode != 0 {
		t.Errorf("the receipt of a container that ended says %+v", quit)
	}
	b.until("nginx to come back", func() (bool, string) {
		page, err := fetch()
		return err == nil && strings.HasPrefix(page, "served by nginx"), fmt.Sprint(page, err)
	})
	b.run("kill", "web")
	if killed := b.receipts(2)[0]; killed.Outcome != "signaled" || killed.Signal != 9 || killed.OOMKilled {
		t.Errorf("the receipt of a killed container says %+v", killed)
	}
	if out := b.run("ps", "-q"); out != "" {
		t.Errorf("still running after kill: %s", out)
	}
	b.run("start", "web")
	b.until("nginx to be started", func() (bool, string) {
		page, err := fetch()
		return err == nil && strings.HasPrefix(page, "served by nginx"), fmt.Sprint(page, err)
	})

	b.run("stop", "web")
	if out := b.run("ps", "-q"); out != "" {
		t.Errorf("still running after stop: %s", out)
	}
	if _, err := fetch(); err == nil {
		t.Error("the port is still served after stop")
	}
	b.run("rm", "web")
	b.run("rmi", "nginx")
	b.checkUnbroken(b.receipts(3))
}

// TestJob runs one job with a known output and exit code, and looks at all
// that it leaves.
func TestJob(t *testing.T) {
	t.Parallel()
	b := boot(t, nil)
	b.importFixture("busybox.tar")

	stdout, stderr, exit := b.try("run", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
	if stdout != "out\n" || !strings.HasPrefix(stderr, "err\n") || exit != 7 {
		t.Errorf("the job gave %q, %q, exit %d", stdout, stderr, exit)
	}
	job := b.receipts(1)[0]
	want := sha256.Sum256([]byte("out\n"))
	if job.Sequence != 1 || job.Outcome != "exited" || job.ExitCode != 7 || job.Signal != 0 || job.OOMKilled || job.Height == 0 ||
		!strings.HasSuffix(job.Stdout, hex.EncodeToString(want[:])) {
		t.Errorf("the job's receipt says %+v", job)
	}

	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"its root is nobody on the box", "unmapped", []string{"busybox", "sh", "-c", `read in out n </proc/self/uid_map; [ $in = 0 ] && [ $out -ge 65536 ] && echo unmapped`}},
		{"no_new_privs and seccomp are on", "NoNewPrivs:\t1\nSeccomp:\t2", []string{"busybox", "grep", "-E", "^(NoNewPrivs|Seccomp):", "/proc/self/status"}},
		{"it writes as root to a volume", "kept", []string{"-v", "notes:/notes", "busybox", "sh", "-c", "echo kept >/notes/a; cat /notes/a"}},
		{"the next one reads it", "kept", []string{"-v", "notes:/notes:ro", "busybox", "cat", "/notes/a"}},
		{"it reaches the outside through NAT", "reached", []string{"busybox", "sh", "-c", "wget -q -O - " + fixtureURL(t, "busybox.tar") + " | wc -c | grep -q '[0-9]' && echo reached"}},
		{"its user is as told", "33", []string{"-u", "www-data", "busybox", "id", "-u"}},
		{"its environment is as told", "x=1", []string{"-e", "x=1", "busybox", "sh", "-c", "echo x=$x"}},
	} {
		if out := strings.TrimSpace(b.run(append([]string{"run", "--rm"}, c.args...)...)); out != c.want {
			t.Errorf("%s: printed %q, want %q", c.name, out, c.want)
		}
	}
	if _, stderr, exit := b.try("run", "absent"); exit != 125 || !strings.Contains(stderr, "absent") {
		t.Errorf("running an image that is not there: exit %d, %q", exit, stderr)
	}

	// One that asks for more memory than it may have.
	if _, _, exit := b.try("run", "-m", "16m", "busybox", "sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done"); exit != 137 {
		t.Errorf("out of memory: exit %d, want 137", exit)
	}
	if r := b.receipts(9)[0]; r.Outcome != "oom-killed" || !r.OOMKilled || r.Signal != 9 {
		t.Errorf("its receipt says %+v", r)
	}
	b.checkReady("/dev/vda4")

	// A peer on the box's own vsock is not the hypervisor.
	if out, stderr, exit := b.try("--admin", "vsock:1:1024", "version"); exit == 0 {
		t.Errorf("a local vsock peer was answered: %s", out)
	} else if stderr == "" {
		t.Error("the refused peer is told nothing")
	}
}

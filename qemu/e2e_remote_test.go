//go:build vm

package qemu_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/entroos/entroos/qemu"
)

// operator is somebody with keys, somewhere else.
type operator struct {
	*testing.T
	home string
	key  ssh.Signer
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{T: t, home: t.TempDir()}
	if o.key, err = ssh.NewSignerFromSigner(private); err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(o.home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.file("id_ed25519"), pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *operator) file(name string) string { return filepath.Join(o.home, ".ssh", name) }

func (o *operator) publicKey() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(o.key.PublicKey())))
}

// entroos runs the operator's command.
func (o *operator) entroos(args ...string) (stdout, stderr string, exit int) {
	o.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, built(o, "entroos"), args...)
	cmd.Env = []string{"HOME=" + o.home}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); cmd.ProcessState == nil {
		o.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// login tries to come in over SSH.
func (o *operator) login(address string) (*ssh.Client, ssh.PublicKey, error) {
	var host ssh.PublicKey
	client, err := ssh.Dial("tcp", address, &ssh.ClientConfig{
		User: "anybody", Auth: []ssh.AuthMethod{ssh.PublicKeys(o.key)}, Timeout: commandDeadline,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error { host = key; return nil },
	})
	return client, host, err
}

// TestRemote administers a box from outside the machine, over its network.
func TestRemote(t *testing.T) {
	t.Parallel()
	port, err := qemu.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	var neighbours *lan
	b := boot(t, func(c *qemu.Config) {
		c.Network.Forwards = []qemu.Forward{{HostPort: port, GuestPort: 22}}
		neighbours = addLAN(t, c)
	})
	b.importFixture("busybox.tar")
	address := fmt.Sprintf("127.0.0.1:%d", port)
	o := newOperator(t)

	// Without keys there is no SSH; with one there is, at once.
	if _, _, err := o.login(address); err == nil || strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("without keys: %v", err)
	}
	b.run("config", "set", "ssh.authorized_keys", "['"+o.publicKey()+"']")
	var host ssh.PublicKey
	b.until("ssh", func() (bool, string) {
		client, key, err := o.login(address)
		if err == nil {
			client.Close()
		}
		host = key
		return err == nil, fmt.Sprint(err)
	})
	if log := b.serviceLog("remote"); !strings.Contains(log, ssh.FingerprintSHA256(host)) {
		t.Errorf("the log does not tell the host key %s:\n%s", ssh.FingerprintSHA256(host), log)
	}
	if err := os.WriteFile(o.file("known_hosts"), []byte(knownhosts.Line([]string{knownhosts.Normalize(address)}, host)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	t.Run("commands", func(t *testing.T) { checkRemoteCommands(t, o, address) })
	t.Run("wrong key", func(t *testing.T) { checkWrongKey(t, b.in(t), address) })
	t.Run("containers", func(t *testing.T) { checkContainersOutside(t, b.in(t)) })
	t.Run("name on the network", func(t *testing.T) { checkNameOnLAN(b.in(t), neighbours) })
	t.Run("name", func(t *testing.T) { checkName(b.in(t)) })
	t.Run("console", func(t *testing.T) { checkConsoleGuarded(t, b.in(t)) })
	if t.Failed() {
		t.Logf("the service's log:\n%s", b.serviceLog("remote"))
	}

	b.run("config", "unset", "ssh.authorized_keys")
	b.until("ssh to be off", func() (bool, string) {
		_, _, err := o.login(address)
		return err != nil, "let in"
	})
	b.checkReady("/dev/vda4")
}

// in is the box for a subtest.
func (b *box) in(t *testing.T) *box { return &box{TB: t, vm: b.vm} }

// serviceLog is what a service wrote, to either of its outputs.
func (b *box) serviceLog(name string) string {
	b.Helper()
	stdout, stderr, exit := b.try("services", "logs", name)
	if exit != 0 {
		b.Fatalf("services logs %s: exit %d: %s", name, exit, stderr)
	}
	return stdout + stderr
}

func checkRemoteCommands(t *testing.T, o *operator, address string) {
	stdout, stderr, exit := o.entroos("--box", address, "run", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
	if stdout != "out\n" || !strings.HasPrefix(stderr, "err\n") || exit != 7 {
		t.Errorf("--box run: %q, %q, %d", stdout, stderr, exit)
	}
	stdout, stderr, exit = o.entroos("--box", address, "top", "--once")
	if exit != 0 || !strings.Contains(stdout, "(ledgerd)") || !strings.Contains(stdout, "(init)") {
		t.Errorf("--box top: %q, %q, %d", stdout, stderr, exit)
	}
	// The same over plain SSH, and the console on a terminal of another size.
	client, _, err := o.login(address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var exited *ssh.ExitError
	if out, err := session.Output("run --rm busybox sh -c 'echo $((6*7)); exit 3'"); string(out) != "42\n" || !errors.As(err, &exited) || exited.ExitStatus() != 3 {
		t.Errorf("ssh run: %q, %v", out, err)
	}
	program, err := exec.LookPath("ssh")
	if err != nil {
		t.Log("there is no ssh here: its client was not tried")
		return
	}
	name, number, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-F", "none", "-tt", "-o", "UserKnownHostsFile="+o.file("known_hosts"), "-o", "IdentitiesOnly=yes",
		"-i", o.file("id_ed25519"), "-p", number, name)
	cmd.Env = []string{"HOME=" + o.home, "TERM=xterm"}
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var seen bytes.Buffer
	waits := func(text string) {
		t.Helper()
		if err := terminal.SetReadDeadline(time.Now().Add(commandDeadline)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		for !strings.Contains(seen.String(), text) {
			n, err := terminal.Read(buf)
			seen.Write(buf[:n])
			if err != nil {
				t.Fatalf("waiting for %q: %v; saw %q", text, err, &seen)
			}
		}
		seen.Reset()
	}
	types := func(text string) {
		t.Helper()
		if _, err := io.WriteString(terminal, text); err != nil {
			t.Fatal(err)
		}
	}
	waits("entroos> ")
	types("run --rm -it busybox stty size\r")
	waits("30 100")
	waits("entroos> ")
	types("exit\r")
	if err := cmd.Wait(); err != nil {
		t.Errorf("ssh: %v", err)
	}
}

// checkWrongKey shows a stranger refused, more slowly each time, and logged.
func checkWrongKey(t *testing.T, b *box, address string) {
	stranger := newOperator(t)
	var took []time.Duration
	for range 6 {
		start := time.Now()
		if _, _, err := stranger.login(address); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
			t.Fatalf("a stranger: %v", err)
		}
		took = append(took, time.Since(start))
	}
	if last := took[len(took)-1]; last < time.Second { // 250 ms, 500 ms, 1 s after three at once
		t.Errorf("six refusals took %v", took)
	}
	if log := b.serviceLog("remote"); !strings.Contains(log, ssh.FingerprintSHA256(stranger.key.PublicKey())) {
		t.Errorf("the stranger is not in the log:\n%s", log)
	}
}

// checkContainersOutside shows that a container does not reach the box's SSH at
// any of its addresses, unless it was given the box's network.
func checkContainersOutside(t *testing.T, b *box) {
	const dial = "nc -w 5 $0 22 </dev/null | head -c 7"
	for _, address := range []string{"172.29.0.1", "10.0.2.15"} {
		if out, stderr, _ := b.try("run", "--rm", "busybox", "sh", "-c", dial, address); strings.Contains(out, "SSH") {
			t.Errorf("a container reached %s: %q, %q", address, out, stderr)
		}
	}
	if out, stderr, _ := b.try("run", "--rm", "--network", "host", "busybox", "sh", "-c", dial, "127.0.0.1"); out != "SSH-2.0" {
		t.Errorf("one with the box's network did not reach it: %q, %q", out, stderr)
	}
}

// checkName has the box claim its name in mDNS, which follows its settings.
// QEMU's user network carries no multicast: the answers are tested beside the
// responder.
func checkName(b *box) {
	claims := func(name string) {
		b.Helper()
		b.until(name+" in mDNS", func() (bool, string) {
			log := b.serviceLog("remote")
			return strings.Contains(log, "this box is "+name), log
		})
	}
	claims("entroos.local")
	b.run("config", "set", "hostname", "cupboard")
	claims("cupboard.local")
	b.run("config", "unset", "hostname")
}

// checkConsoleGuarded sets a password for the console, and comes in with it.
func checkConsoleGuarded(t *testing.T, b *box) {
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	send := func(keys string) {
		t.Helper()
		if err := b.vm.Send(keys); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(pattern string) {
		t.Helper()
		if _, err := b.vm.Expect(ctx, regexp.MustCompile(pattern)); err != nil {
			t.Fatal(err)
		}
	}
	expect(`entroos> `)
	out, _, exit, err := b.vm.CommandInput(ctx, []byte("open sesame\n"), "config", "password")
	if err != nil || exit != 0 {
		t.Fatalf("config password: %d, %v", exit, err)
	}
	b.run("config", "set", "console.password", "'"+strings.TrimSpace(string(out))+"'")
	send("exit\r")
	expect(`Password: `)
	send("wrong\r")
	expect(`Wrong password`)
	expect(`Password: `)
	send("open sesame\r")
	expect(`entroos> `)
	if log := b.serviceLog("kernel"); !strings.Contains(log, "wrong password on /dev/ttyS0") {
		t.Errorf("the wrong password is not in the log:\n%.2000s", log)
	}
	var services []struct {
		Name   string `json:"name"`
		Memory uint64 `json:"memory_bytes"`
	}
	if err := json.Unmarshal([]byte(b.run("services", "--json")), &services); err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		if s.Name == "remote" {
			t.Logf("remote uses %d MiB with its page cache", s.Memory>>20)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	expect "github.com/Netflix/go-expect"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func (b *fakeBox) WatchAccess(ctx context.Context, r *connect.Request[entroosv1.WatchAccessRequest], stream *connect.ServerStream[entroosv1.WatchAccessResponse]) error {
	b.mu.Lock()
	last := b.lastAccess
	b.mu.Unlock()
	for {
		if last != nil {
			if err := stream.Send(last); err != nil {
				return err
			}
		}
		select {
		case last = <-b.access:
			b.mu.Lock()
			b.lastAccess = last
			b.mu.Unlock()
		case <-ctx.Done():
			return nil
		}
	}
}

// operator is somebody with a home, keys and a terminal.
type operator struct {
	*testing.T
	home string
	key  ssh.Signer
}

// newOperator makes one with an Ed25519 key, under a passphrase if there is one.
func newOperator(t *testing.T, passphrase string) *operator {
	t.Helper()
	o := &operator{T: t, home: t.TempDir()}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if o.key, err = ssh.NewSignerFromSigner(private); err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(o.home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.home, ".ssh", "id_ed25519"), pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *operator) authorized() string { return string(ssh.MarshalAuthorizedKey(o.key.PublicKey())) }

// command is `entroos` as the operator calls it, without a terminal.
func (o *operator) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = []string{"ENTROOS_TEST_MAIN=1", "HOME=" + o.home, "TERM=vt220"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal at all
	return cmd
}

func (o *operator) run(args ...string) (stdout, stderr string, status int) {
	o.Helper()
	cmd := o.command(args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); cmd.ProcessState == nil {
		o.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// onTerminal runs a command on a terminal of the operator's.
func (o *operator) onTerminal(args ...string) *terminal {
	o.Helper()
	console, err := expect.NewConsole(expect.WithDefaultTimeout(20 * time.Second))
	if err != nil {
		o.Fatal(err)
	}
	o.Cleanup(func() { console.Close() })
	cmd := o.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = console.Tty(), console.Tty(), console.Tty()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		o.Fatal(err)
	}
	o.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return &terminal{o.T, console, cmd}
}

// served is a fake box with its service for remote administration, as a
// process of its own.
type served struct {
	*fakeBox
	address, port string
	hostKey       string // the file
	log           *bytes.Buffer
	process       *exec.Cmd
}

func serveRemote(t *testing.T, keys ...string) *served {
	t.Helper()
	b, admin := serveFakeBox(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	s := &served{
		fakeBox: b, address: l.Addr().String(), port: fmt.Sprint(port),
		hostKey: filepath.Join(t.TempDir(), "ssh", "key"), log: &bytes.Buffer{},
	}
	s.allow(keys...)
	s.process = exec.Command(os.Args[0], "--admin", admin, "remote", "--host-key", s.hostKey)
	s.process.Env = append(os.Environ(), "ENTROOS_TEST_MAIN=1")
	s.process.Stderr = s.log
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := s.process.Wait(); err != nil {
			t.Errorf("remote: %v", err)
		}
		if t.Failed() {
			t.Logf("remote's log:\n%s", s.log)
		}
	})
	return s
}

// allow sets the keys that may come in.
func (s *served) allow(keys ...string) {
	port := 0
	fmt.Sscan(s.port, &port)
	s.access <- &entroosv1.WatchAccessResponse{AuthorizedKeys: keys, SshPort: uint32(port)}
}

// listens waits until SSH is on, or off.
func (s *served) listens(t *testing.T, on bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := net.Dial("tcp", s.address)
		if err == nil {
			c.Close()
		}
		if (err == nil) == on {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("ssh did not come to be %v", on)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// trust has the operator know the box already.
func (o *operator) trust(s *served) {
	o.Helper()
	s.listens(o.T, true)
	text, err := os.ReadFile(s.hostKey)
	if err != nil {
		o.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		o.Fatal(err)
	}
	line := knownhosts.Line([]string{knownhosts.Normalize(s.address)}, key.PublicKey())
	if err := os.WriteFile(o.knownHosts(), []byte(line), 0o600); err != nil { // without a newline
		o.Fatal(err)
	}
}

func (o *operator) knownHosts() string { return filepath.Join(o.home, ".ssh", "known_hosts") }

func TestBoxFromAfar(t *testing.T) {
	o := newOperator(t, "")
	s := serveRemote(t, o.authorized())
	o.trust(s)
	stdout, stderr, status := o.run("--box", s.address, "ps")
	if status != 0 || !strings.Contains(stdout, "web") {
		t.Errorf("ps: %d, %q, %q", status, stdout, stderr)
	}
	stdout, stderr, status = o.run("--box", "someone@"+s.address, "run", "busybox", "printf", "unfinished")
	if status != 0 || stdout != "unfinished" {
		t.Errorf("run: %d, %q, %q", status, stdout, stderr)
	}
	cmd := o.command("status", "--json")
	cmd.Env = append(cmd.Env, "ENTROOS_BOX="+s.address)
	if out, err := cmd.Output(); err != nil || !bytes.Contains(out, []byte(`"cellar"`)) {
		t.Errorf("by ENTROOS_BOX: %q, %v", out, err)
	}
	c := o.onTerminal("--box", s.address, "console")
	c.sees("EntroOS 0.1.0 on cellar, ready")
	c.sees(prompt)
	c.types("stop w\t\r")
	c.sees("\nweb\r\n")
	c.types("run -it busybox cat loudly\r")
	c.sees("ready")
	c.types("as \x03 typed")
	c.sees("as \x03 typed")
	c.types("\x04\x04")
	c.sees(prompt)
	c.types("exit\r")
	if err := c.process.Wait(); err != nil {
		t.Error(err)
	}
}

func TestFirstContact(t *testing.T) {
	o := newOperator(t, "secret")
	s := serveRemote(t, o.authorized())
	s.listens(t, true)
	if _, stderr, status := o.run("--box", s.address, "ps"); status != 1 || !strings.Contains(stderr, "no terminal to ask") {
		t.Errorf("without a terminal: %d, %q", status, stderr)
	}
	c := o.onTerminal("--box", s.address, "ps")
	c.sees("Trust it? [yes/no]")
	c.types("no\r")
	c.sees("is not trusted")
	c = o.onTerminal("--box", s.address, "ps")
	c.sees("SHA256:")
	c.sees("Trust it? [yes/no]")
	c.types("yes\r")
	c.sees("Passphrase of ")
	c.types("wrong\r")
	c.sees("Passphrase of ")
	c.types("secret\r")
	c.sees("web")
	if err := c.process.Wait(); err != nil {
		t.Error(err)
	}
	c = o.onTerminal("--box", s.address, "ps")
	c.sees("Passphrase of ") // and no question about the box any more
	c.types("secret\r")
	c.sees("web")
	if _, stderr, status := o.run("--box", s.address, "ps"); status != 1 || !strings.Contains(stderr, "ssh-agent") {
		t.Errorf("a passphrase without a terminal: %d, %q", status, stderr)
	}
}

func TestBoxFromAfarRefused(t *testing.T) {
	o := newOperator(t, "")
	stranger := newOperator(t, "")
	s := serveRemote(t, o.authorized())
	o.trust(s)
	stranger.trust(s)
	for name, c := range map[string]struct {
		who  *operator
		args []string
		want string
	}{
		"a stranger":     {stranger, []string{"--box", s.address, "ps"}, "takes none of your keys"},
		"nobody there":   {o, []string{"--box", "127.0.0.1:1", "ps"}, "connection refused"},
		"no such name":   {o, []string{"--box", "nowhere.invalid", "ps"}, "no such name"},
		"no host":        {o, []string{"--box", "a b:c", "ps"}, "is not [USER@]HOST[:PORT]"},
		"a key's file":   {o, []string{"--box", s.address, "--identity", "/nonexistent", "ps"}, "/nonexistent"},
		"two boxes":      {o, []string{"--box", s.address, "--admin", "unix:/x", "ps"}, "box"},
		"no keys at all": {&operator{T: t, home: t.TempDir()}, []string{"--box", s.address, "ps"}, "ssh-keygen"},
	} {
		if _, stderr, status := c.who.run(c.args...); status == 0 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: %d, %q", name, status, stderr)
		}
	}
	// Another key than the one that is known.
	text, err := os.ReadFile(o.knownHosts())
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Fields(string(text))[0] + " " + strings.TrimSpace(stranger.authorized())
	if err := os.WriteFile(o.knownHosts(), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := o.run("--box", s.address, "ps"); status == 0 || !strings.Contains(stderr, "another host key than before") || !strings.Contains(stderr, "ssh-keygen -R") {
		t.Errorf("a changed host key: %d, %q", status, stderr)
	}
}

// TestKeysChangeAtOnce: no key, no SSH; a key that is taken away opens nothing.
func TestKeysChangeAtOnce(t *testing.T) {
	first, second := newOperator(t, ""), newOperator(t, "")
	s := serveRemote(t)
	s.listens(t, false)
	if _, err := os.Stat(s.hostKey); err == nil {
		t.Error("a host key without need")
	}
	s.allow("garbled", `command="ps" `+second.authorized(), first.authorized())
	first.trust(s)
	second.trust(s)
	if _, stderr, status := first.run("--box", s.address, "ps"); status != 0 {
		t.Errorf("the first key: %d, %q", status, stderr)
	}
	if _, _, status := second.run("--box", s.address, "ps"); status == 0 {
		t.Error("a key with options was taken")
	}
	s.allow(second.authorized())
	deadline := time.Now().Add(20 * time.Second)
	for {
		if _, _, status := first.run("--box", s.address, "ps"); status != 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the key that was taken away still opens")
		}
	}
	if _, stderr, status := second.run("--box", s.address, "ps"); status != 0 {
		t.Errorf("the second key: %d, %q", status, stderr)
	}
	s.allow()
	s.listens(t, false)
}

// TestOpenSSH: the client that everybody has works too.
func TestOpenSSH(t *testing.T) {
	program, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip("there is no ssh here")
	}
	o := newOperator(t, "")
	s := serveRemote(t, o.authorized())
	o.trust(s)
	call := func(args ...string) *exec.Cmd {
		return exec.Command(program, append([]string{
			"-F", "none", "-o", "UserKnownHostsFile=" + o.knownHosts(), "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes",
			"-i", filepath.Join(o.home, ".ssh", "id_ed25519"), "-o", "IdentitiesOnly=yes", "-p", s.port,
		}, args...)...)
	}
	var stderr bytes.Buffer
	cmd := call("127.0.0.1", "ps")
	cmd.Stderr = &stderr
	if out, err := cmd.Output(); err != nil || !bytes.Contains(out, []byte("web")) {
		t.Fatalf("ssh box ps: %v, %q, %q", err, out, &stderr)
	}
	cmd = call("127.0.0.1", "run", "missing")
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 125 {
		t.Errorf("its exit status: %v", err)
	}
	// The console on a terminal.
	console, err := expect.NewConsole(expect.WithDefaultTimeout(20 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	cmd = call("-tt", "127.0.0.1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = console.Tty(), console.Tty(), console.Tty()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &terminal{t, console, cmd}
	c.sees("on cellar, ready")
	c.sees(prompt)
	c.types("logs -f web\r")
	c.sees("wrong")
	c.types("\x03")
	c.sees(prompt)
	c.types("exit\r")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	// The admin socket, forwarded to a file here.
	local := filepath.Join(t.TempDir(), "box.sock")
	forward := call("-N", "-L", local+":"+adminSocket, "127.0.0.1")
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { forward.Process.Kill(); forward.Wait() }()
	deadline := time.Now().Add(20 * time.Second)
	for {
		if stdout, stderr, status := o.run("--admin", "unix:"+local, "ps"); status == 0 && strings.Contains(stdout, "web") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("over the forwarded socket: %d, %q", status, stderr)
		}
	}
}

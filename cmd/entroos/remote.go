package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/sshserver"
)

// remote is the box's service for administration from afar: SSH while there
// are keys for it, and its name in mDNS. It follows the box's settings as they
// change.
type remote struct {
	env     *environment
	hostKey string // its file
	program string // this one
	logger  *slog.Logger

	mu   sync.Mutex
	keys map[string]bool // marshaled public keys that may come in

	ssh     *sshserver.Server
	port    uint32
	stopSSH func() // when SSH is on
}

// remoteRetry is the time between two tries of what failed.
const remoteRetry = 2 * time.Second

func newRemoteCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "remote", Short: "Serve SSH and mDNS: the box's own service", Hidden: true, Args: cobra.NoArgs,
	}
	hostKey := c.Flags().String("host-key", "/perm/ssh/host_ed25519", "file of the SSH host key; made when there is none")
	c.RunE = func(c *cobra.Command, _ []string) error {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		if os.Getppid() == 1 {
			if err := dropPrivileges(); err != nil {
				return err
			}
		}
		r := &remote{env: env, hostKey: *hostKey, program: program, logger: slog.New(slog.NewTextHandler(env.stderr, nil))}
		return r.serve(c.Context())
	}
	return c
}

// serve follows the settings until ctx ends.
func (r *remote) serve(ctx context.Context) error {
	defer r.sshOff()
	names := newNameService(r.logger, r.protect)
	defer names.stop()
	for {
		err := r.env.withBox(ctx, func(ctx context.Context, b *box) error {
			stream, err := b.WatchAccess(ctx, connect.NewRequest(&entroosv1.WatchAccessRequest{}))
			if err != nil {
				return err
			}
			defer stream.Close()
			for stream.Receive() {
				names.set(stream.Msg().Hostname)
				r.follow(ctx, stream.Msg())
			}
			return stream.Err()
		})
		if ctx.Err() != nil {
			return nil
		}
		// PID 1's API comes back; SSH goes on as it was meanwhile.
		r.logger.Warn("the box's settings", "error", fmt.Sprint(err))
		select {
		case <-time.After(remoteRetry):
		case <-ctx.Done():
			return nil
		}
	}
}

// follow applies the settings.
func (r *remote) follow(ctx context.Context, access *entroosv1.WatchAccessResponse) {
	keys := r.parseKeys(access.AuthorizedKeys)
	r.mu.Lock()
	r.keys = keys
	r.mu.Unlock()
	if r.stopSSH != nil && (len(keys) == 0 || access.SshPort != r.port) {
		r.sshOff()
	}
	if r.stopSSH == nil && len(keys) > 0 {
		r.port = access.SshPort
		r.sshOn(ctx)
	}
}

// parseKeys takes the keys that have no options: options restrict a key, and
// none of them is known here.
func (r *remote) parseKeys(lines []string) map[string]bool {
	keys := make(map[string]bool)
	for _, line := range lines {
		key, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
		switch {
		case err != nil:
			r.logger.Error("a line of ssh.authorized_keys is no key, and is left out", "line", printable(line))
		case len(options) > 0:
			r.logger.Error("a key of ssh.authorized_keys has options, which EntroOS does not know, and is left out", "key", comment)
		default:
			keys[string(key.Marshal())] = true
		}
	}
	return keys
}

func (r *remote) authorized(key ssh.PublicKey) bool {
	if _, certificate := key.(*ssh.Certificate); certificate {
		return false // nobody has said who may sign
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[string(key.Marshal())]
}

// sshOn starts serving SSH, again and again until it works or sshOff is called.
func (r *remote) sshOn(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	r.stopSSH = func() { cancel(); <-done }
	port := r.port
	r.protect("ssh", func() {
		defer close(done)
		for {
			err := r.serveSSH(ctx, port)
			if ctx.Err() != nil {
				return
			}
			r.logger.Error("ssh does not serve", "error", err)
			select {
			case <-time.After(remoteRetry):
			case <-ctx.Done():
				return
			}
		}
	})
}

func (r *remote) sshOff() {
	if r.stopSSH != nil {
		r.stopSSH()
		r.stopSSH = nil
		r.logger.Info("ssh is off")
	}
}

func (r *remote) serveSSH(ctx context.Context, port uint32) error {
	if r.ssh == nil {
		dial, err := dialer(r.env.admin)
		if err != nil {
			return err
		}
		key, err := sshserver.HostKey(r.hostKey)
		if err != nil {
			return err
		}
		r.ssh = sshserver.New(sshserver.Config{
			HostKey: key, Authorized: r.authorized, Command: r.command,
			AdminSocket: adminSocket, DialAdmin: dial, Logger: r.logger, Go: r.protect,
		})
		r.logger.Info("ssh host key", "fingerprint", ssh.FingerprintSHA256(key.PublicKey()))
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("", strconv.FormatUint(uint64(port), 10)))
	if err != nil {
		return err
	}
	r.logger.Info("ssh is on", "port", port)
	return r.ssh.Serve(ctx, l)
}

// command is the program of a session: this one, in the environment that PID 1
// gave to this process.
func (r *remote) command(words []string) *exec.Cmd {
	if len(words) == 0 {
		words = []string{"console"}
	}
	cmd := exec.Command(r.program, append([]string{"--admin", r.env.admin}, words...)...)
	cmd.Dir, cmd.Env = "/", os.Environ()
	return cmd
}

// protect runs f in a goroutine; a panic there is logged and ends f alone.
func (r *remote) protect(name string, f func()) {
	go func() {
		defer func() {
			if p := recover(); p != nil {
				r.logger.Error("panic", "in", name, "value", fmt.Sprint(p), "stack", string(debug.Stack()))
			}
		}()
		f()
	}()
}

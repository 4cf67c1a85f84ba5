//go:build !box

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/entroos/entroos/appliance/mdns"
)

const (
	sshPort        = "22"
	sshConnectTime = 15 * time.Second // for the TCP connection
)

// boxFlags are the flags that name a box far away.
func boxFlags(env *environment, root *cobra.Command) {
	root.PersistentFlags().StringVar(&env.host, "box", os.Getenv("ENTROOS_BOX"), "the box, over SSH: `[USER@]HOST[:PORT]` (default: ENTROOS_BOX)")
	root.PersistentFlags().StringVar(&env.identity, "identity", "", "private key `FILE` for --box (default: ssh-agent's and ~/.ssh/id_*)")
	root.PersistentFlags().Lookup("box").DefValue = ""
	root.MarkFlagsMutuallyExclusive("box", "admin")
}

// links are the SSH connections to boxes, by what --box and --identity say.
type links struct {
	mu   sync.Mutex
	open map[[2]string]*link
}

// link is an SSH connection to one box, made when it is first needed and again
// when it has ended.
type link struct {
	env  *environment
	user string
	// address is HOST:PORT, and typed what was given for it.
	address, typed, identity string

	mu     sync.Mutex
	client *ssh.Client
}

// sshDialer dials the admin API of the box that --box names; nil without --box.
func (env *environment) sshDialer() (func(context.Context) (net.Conn, error), error) {
	if env.host == "" || env.admin != defaultAdmin && env.host == os.Getenv("ENTROOS_BOX") {
		return nil, nil
	}
	name, address, err := parseHost(env.host)
	if err != nil {
		return nil, err
	}
	env.links.mu.Lock()
	defer env.links.mu.Unlock()
	key := [2]string{env.host, env.identity}
	l := env.links.open[key]
	if l == nil {
		l = &link{env: env, user: name, address: address, typed: env.host, identity: env.identity}
		if env.links.open == nil {
			env.links.open = make(map[[2]string]*link)
		}
		env.links.open[key] = l
	}
	return l.dial, nil
}

// parseHost reads [USER@]HOST[:PORT]. A box takes any user's name.
func parseHost(text string) (name, address string, err error) {
	name, host, found := strings.Cut(text, "@")
	if !found {
		name, host = "", text
	}
	if name == "" {
		name = "entroos"
		if u, err := user.Current(); err == nil {
			name = cmp.Or(u.Username, name)
		}
	}
	h, port, err := net.SplitHostPort(host)
	if err != nil { // without a port
		h, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), sshPort
	}
	if _, perr := net.LookupPort("tcp", port); h == "" || perr != nil || strings.ContainsAny(h, "/ []") {
		return "", "", fmt.Errorf("--box %q is not [USER@]HOST[:PORT]", text)
	}
	return name, net.JoinHostPort(h, port), nil
}

// dial opens one connection to the admin API.
func (l *link) dial(ctx context.Context) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := l.client == nil
	if fresh {
		if err := l.connect(ctx); err != nil {
			return nil, err
		}
	}
	conn, err := l.client.DialContext(ctx, "unix", adminSocket)
	if err == nil || ctx.Err() != nil {
		return conn, err
	}
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) {
		return nil, &sshError{fmt.Sprintf("%s answers, but does not open its admin API (%s); is it an EntroOS box?", l.typed, refused.Message), err}
	}
	l.client.Close()
	l.client = nil
	if fresh {
		return nil, l.failure(err)
	}
	// It had ended since the command before.
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	return l.client.DialContext(ctx, "unix", adminSocket)
}

// connect makes the SSH connection. What the operator has to be asked, whether
// to trust the box and for a passphrase, is asked between connections, each of
// which has to be quick.
func (l *link) connect(ctx context.Context) error {
	keys, err := l.keys()
	if err != nil {
		return err
	}
	defer keys.close()
	signers := keys.signers
	var met ssh.PublicKey
	for {
		hosts, err := l.knownHosts(ctx)
		if err != nil {
			return err
		}
		hosts.met = met
		conn, err := l.dialTCP(ctx)
		if err != nil {
			return err
		}
		err = l.shake(ctx, conn, hosts, signers)
		locked := keys.wanted()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case hosts.unknown != nil:
			if err := hosts.meet(l.address, hosts.unknown); err != nil {
				return err
			}
			met = hosts.unknown
		case hosts.err != nil: // x/crypto passes it on as text in some cases
			return hosts.err
		case locked != nil:
			if err := locked.unlock(); err != nil {
				return err
			}
			signers = []ssh.Signer{locked} // the box refused the others
		case strings.Contains(err.Error(), "unable to authenticate"):
			return &sshError{fmt.Sprintf("the box at %s takes none of your keys (%s).\n"+
				"On its console: config set ssh.authorized_keys '[\"PUBLIC KEY\"]'", l.typed, keys), err}
		default:
			return l.failure(err)
		}
	}
}

// shake makes one SSH connection of conn, without asking anybody anything.
func (l *link) shake(ctx context.Context, conn net.Conn, hosts *knownHosts, signers []ssh.Signer) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	sshConn, channels, requests, err := ssh.NewClientConn(conn, l.address, &ssh.ClientConfig{
		User:              l.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyCallback:   hosts.check,
		HostKeyAlgorithms: hosts.algorithms(l.address),
		ClientVersion:     "SSH-2.0-entroos",
	})
	if err != nil {
		conn.Close()
		return err
	}
	l.client = ssh.NewClient(sshConn, channels, requests)
	return nil
}

func (l *link) dialTCP(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, sshConnectTime)
	defer cancel()
	address, err := resolveLocal(ctx, l.address)
	if err != nil {
		return nil, l.failure(err)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		return nil, l.failure(err)
	}
	return conn, err
}

// localPatience is how long a name in .local may take.
const localPatience = 5 * time.Second

// resolveLocal puts the address in place of a name in .local that this
// machine's own resolver does not know.
func resolveLocal(ctx context.Context, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !strings.HasSuffix(strings.TrimSuffix(strings.ToLower(host), "."), ".local") {
		return address, err
	}
	if found, err := net.DefaultResolver.LookupHost(ctx, host); err == nil && len(found) > 0 {
		return address, nil
	}
	ctx, cancel := context.WithTimeout(ctx, localPatience)
	defer cancel()
	found, err := mdns.Lookup(ctx, host)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(found[0].String(), port), nil
}

// failure says why there is no connection.
func (l *link) failure(err error) error {
	var noName *net.DNSError
	var timeout net.Error
	reason := rootCause(err).Error()
	switch {
	case errors.As(err, &noName), errors.Is(err, mdns.ErrNoAnswer):
		reason = "there is no such name"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		reason = "no answer"
	case errors.Is(err, io.EOF), strings.Contains(reason, "EOF"):
		reason = "it hung up; after many refused keys a box is slow to take new ones"
	case strings.Contains(reason, "connection refused"):
		reason += "; a box without ssh.authorized_keys in its settings has SSH off"
	}
	return &sshError{fmt.Sprintf("no box answers SSH at %s: %s", l.typed, reason), err}
}

// Package sshserver serves a box's administration over SSH: the console on a
// terminal, single commands, and the admin API's socket. It authenticates by
// public key alone, and forwards nothing else.
package sshserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Limits of the server.
const (
	keyExchangeTime   = 20 * time.Second // from connection to the client's part in the key exchange
	loginTime         = 2 * time.Minute  // from there to authentication; a human may be asked
	maxTries          = 6                // keys offered on one connection
	maxUnknown        = 16               // connections not yet authenticated
	maxUnknownOne     = 4                // of these, from one source
	maxConnections    = 32
	maxChannels       = 16 // on one connection
	acceptRetry       = 100 * time.Millisecond
	serverVersion     = "SSH-2.0-EntroOS"
	fingerprintDetail = "key"
)

// Config is what a Server needs. All of it is required.
type Config struct {
	HostKey ssh.Signer
	// Authorized says whether a key may administer the box now.
	Authorized func(ssh.PublicKey) bool
	// Command gives a session's program: without words the console, else the
	// command that they are. Its files and process attributes are set here.
	Command func(words []string) *exec.Cmd
	// AdminSocket is the one path that is forwarded, to where DialAdmin connects.
	AdminSocket string
	DialAdmin   func(context.Context) (net.Conn, error)
	Logger      *slog.Logger
	// Go runs f in a goroutine in which a panic does not end the process.
	Go func(name string, f func())
}

// Server serves SSH connections. Its throttle remembers failures from one
// Serve to the next.
type Server struct {
	cfg      Config
	throttle *throttle
	// keyExchangeTime and loginTime, but for tests.
	keyExchangeTime, loginTime time.Duration

	mu      sync.Mutex
	unknown map[source]int // connections that are not yet authenticated
	known   int            // authenticated ones
}

// New makes a Server.
func New(cfg Config) *Server {
	return &Server{
		cfg: cfg, throttle: newThrottle(time.Now), unknown: make(map[source]int),
		keyExchangeTime: keyExchangeTime, loginTime: loginTime,
	}
}

// Serve serves the connections that arrive at l until ctx ends, then closes l
// and all connections and returns when their sessions have ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })() // Accept's error tells
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // nothing was said
			}
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // out of files, or the peer was quicker
			s.cfg.Logger.Warn("ssh: accepting", "error", err)
			select {
			case <-time.After(acceptRetry):
			case <-ctx.Done():
			}
			continue
		}
		from := sourceOf(conn.RemoteAddr())
		if reason := s.admit(from); reason != "" {
			if s.throttle.mayLog() {
				s.cfg.Logger.Warn("ssh: connection refused", "from", conn.RemoteAddr().String(), "reason", reason)
			}
			_ = conn.Close() // nothing was said
			continue
		}
		serving.Add(1)
		s.cfg.Go("ssh connection", func() {
			defer serving.Done()
			s.serveConn(ctx, conn, from)
		})
	}
}

// admit counts a new connection in; it returns why not, or "".
func (s *Server) admit(from source) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for _, n := range s.unknown {
		total += n
	}
	switch {
	case total >= maxUnknown:
		return "too many that are not authenticated"
	case s.unknown[from] >= maxUnknownOne:
		return "too many of its own that are not authenticated"
	case s.known >= maxConnections:
		return "too many connections"
	}
	s.unknown[from]++
	return ""
}

func (s *Server) decided(from source, authenticated bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unknown[from]--; s.unknown[from] == 0 {
		delete(s.unknown, from)
	}
	if authenticated {
		s.known++
	}
}

// serveConn is the life of one connection.
func (s *Server) serveConn(ctx context.Context, conn net.Conn, from source) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	server, channels, requests, err := s.handshake(ctx, conn, from)
	s.decided(from, err == nil)
	if err != nil {
		if ctx.Err() == nil && s.throttle.mayLog() {
			s.cfg.Logger.Warn("ssh: not authenticated", "from", conn.RemoteAddr().String(), "error", err)
		}
		return
	}
	defer func() {
		s.mu.Lock()
		s.known--
		s.mu.Unlock()
	}()
	logger := s.cfg.Logger.With("from", conn.RemoteAddr().String(), "user", server.User(), "key", server.Permissions.Extensions[fingerprintDetail])
	logger.Info("ssh: authenticated")
	defer logger.Info("ssh: left")
	var open sync.WaitGroup
	defer open.Wait()
	defer cancel() // ends the sessions
	open.Add(1)
	s.cfg.Go("ssh requests", func() {
		defer open.Done()
		ssh.DiscardRequests(requests) // tcpip-forward and the like are refused
	})
	var count atomic.Int32
	for ch := range channels {
		if count.Add(1) > maxChannels {
			count.Add(-1)
			// An error is the connection's, which ends the loop.
			_ = ch.Reject(ssh.ResourceShortage, fmt.Sprintf("more than %d channels on one connection", maxChannels))
			continue
		}
		open.Add(1)
		s.cfg.Go("ssh channel", func() {
			defer open.Done()
			defer count.Add(-1)
			s.serveChannel(ctx, ch, logger)
		})
	}
}

// handshake agrees on keys and authenticates the client, in bounded time.
func (s *Server) handshake(ctx context.Context, conn net.Conn, from source) (*ssh.ServerConn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	patience := maxConnectionDelay
	config := &ssh.ServerConfig{
		ServerVersion: serverVersion,
		MaxAuthTries:  maxTries,
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			fingerprint := ssh.FingerprintSHA256(key)
			if s.cfg.Authorized(key) {
				return &ssh.Permissions{Extensions: map[string]string{fingerprintDetail: fingerprint}}, nil
			}
			delay := s.refused(from, &patience)
			if s.throttle.mayLog() {
				s.cfg.Logger.Warn("ssh: key refused", "from", conn.RemoteAddr().String(), "user", meta.User(), "key", fingerprint, "delay", delay)
			}
			timer := time.NewTimer(delay)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			return nil, errors.New("this key is not among the box's ssh.authorized_keys")
		},
	}
	// The host key signs when the client has sent its part, and before a human
	// can be asked anything. Later key exchanges have no limit.
	var once sync.Once
	config.AddHostKey(&hostSigner{s.cfg.HostKey, func() {
		once.Do(func() { _ = conn.SetDeadline(time.Now().Add(s.loginTime)) }) // an error is the connection's end
	}})
	if err := conn.SetDeadline(time.Now().Add(s.keyExchangeTime)); err != nil {
		return nil, nil, nil, err
	}
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return nil, nil, nil, err
	}
	s.throttle.forget(from)
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, nil, nil, err
	}
	return server, channels, requests, nil
}

// refused counts a refused key and gives the delay of its answer, which it
// takes from the connection's patience.
func (s *Server) refused(from source, patience *time.Duration) time.Duration {
	delay := min(s.throttle.failed(from), *patience)
	*patience -= delay
	return delay
}

// serveChannel serves a session or a connection to the admin API.
func (s *Server) serveChannel(ctx context.Context, ch ssh.NewChannel, logger *slog.Logger) {
	switch ch.ChannelType() {
	case "session":
		channel, requests, err := ch.Accept()
		if err != nil {
			return // the connection has ended
		}
		newSession(s, channel, logger).serve(ctx, requests)
	case streamLocal:
		s.forward(ctx, ch, logger)
	default:
		logger.Warn("ssh: channel refused", "type", ch.ChannelType())
		// An error is the connection's end.
		_ = ch.Reject(ssh.Prohibited, "the box forwards its admin API alone, to "+s.cfg.AdminSocket)
	}
}

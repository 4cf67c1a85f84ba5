package sshserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

// streamLocal is OpenSSH's channel to a unix socket (its PROTOCOL, 2.4).
const streamLocal = "direct-streamlocal@openssh.com"

// streamLocalOpen is what such a channel is opened with.
type streamLocalOpen struct {
	SocketPath string
	Reserved   string
	Port       uint32
}

// forward joins a channel to the admin API's socket.
func (s *Server) forward(ctx context.Context, ch ssh.NewChannel, logger *slog.Logger) {
	// Errors of Reject are the connection's end.
	var open streamLocalOpen
	if err := ssh.Unmarshal(ch.ExtraData(), &open); err != nil {
		_ = ch.Reject(ssh.ConnectionFailed, "garbled request")
		return
	}
	if open.SocketPath != s.cfg.AdminSocket {
		logger.Warn("ssh: forward refused", "path", open.SocketPath)
		_ = ch.Reject(ssh.Prohibited, "the box forwards its admin API alone, to "+s.cfg.AdminSocket)
		return
	}
	conn, err := s.cfg.DialAdmin(ctx)
	if err != nil {
		_ = ch.Reject(ssh.ConnectionFailed, fmt.Sprintf("the admin API does not answer: %v", err))
		return
	}
	defer conn.Close()
	channel, requests, err := ch.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var copying sync.WaitGroup
	copying.Add(2)
	s.cfg.Go("ssh requests", func() {
		defer copying.Done()
		ssh.DiscardRequests(requests)
	})
	s.cfg.Go("ssh forward", func() {
		defer copying.Done()
		copyAll(conn, channel, logger)
		if half, ok := conn.(interface{ CloseWrite() error }); ok { // the API may still answer
			_ = half.CloseWrite() // an error is its end
		}
	})
	copyAll(channel, conn, logger)
	_ = channel.Close() // ends the other copy; the client may have gone
	copying.Wait()
}

// copyAll copies until one side ends; that a side has gone is no error.
func copyAll(to io.Writer, from io.Reader, logger *slog.Logger) {
	if _, err := io.Copy(to, from); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
		logger.Debug("ssh: forward ended", "error", err)
	}
}

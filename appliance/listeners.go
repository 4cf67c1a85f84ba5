package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
	"github.com/entroos/entroos/nko"
)

// AdminPort is the vsock port of the admin API.
const AdminPort = 1024

// maxMessage bounds a message of the API, in bytes.
const maxMessage = 16 << 20

// AdminHandler serves the admin API, and the reading parts of the ledger's and
// the router's.
func AdminHandler(b *Box) http.Handler {
	options := []connect.HandlerOption{
		connect.WithReadMaxBytes(maxMessage),
		connect.WithSendMaxBytes(maxMessage),
	}
	mux := http.NewServeMux()
	mux.Handle(entroosv1connect.NewAdminServiceHandler(&adminServer{box: b}, options...))
	mux.Handle(entroosv1connect.NewLedgerServiceHandler(&ledgerProxy{box: b}, options...))
	mux.Handle(entroosv1connect.NewRouterServiceHandler(&routerProxy{box: b}, options...))
	return b.peers.slow(mux)
}

// ListenUnix listens on a unix socket that only root may use.
func ListenUnix(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// The socket's mode becomes the file's: there is no moment at which others
	// could connect.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var merr error
		err := c.Control(func(fd uintptr) { merr = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, merr)
	}}
	return private.Listen(context.Background(), "unix", path)
}

// ListenVsock listens on the admin port for the hypervisor, and, with loopback,
// for this box itself.
func ListenVsock(loopback bool, logger *slog.Logger) (net.Listener, error) {
	// Any address: the box's own may come later than we do.
	l, err := vsock.ListenContextID(unix.VMADDR_CID_ANY, AdminPort, nil)
	if err != nil {
		return nil, fmt.Errorf("listen on vsock port %d: %w", AdminPort, err)
	}
	return &peerListener{Listener: l, loopback: loopback, logger: logger}, nil
}

// peerListener takes connections from CID 2, the hypervisor's machine, alone.
// vsock knows no namespaces: a container can connect from CID 1 (loopback) or
// from the box's own, but never from 2.
type peerListener struct {
	net.Listener
	loopback bool
	logger   *slog.Logger
}

func (l *peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if peer, ok := c.RemoteAddr().(*vsock.Addr); ok && l.admits(peer.ContextID) {
			return c, nil
		}
		l.logger.Warn("admin connection refused", "peer", c.RemoteAddr().String())
		_ = c.Close() // nothing was said
	}
}

func (l *peerListener) admits(cid uint32) bool {
	return cid == vsock.Host || l.loopback && cid == vsock.Local
}

// ServeAdmin serves the API on a listener until ctx ends; it closes the listener.
func ServeAdmin(ctx context.Context, l net.Listener, h http.Handler) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		ConnContext:       withPeer,
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, nko.Guard("end of the admin API", func() {
		defer close(stopped)
		// Calls under way may end; attached ones would go on for ever.
		shut, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(shut) != nil {
			_ = server.Close() // what is left are clients that hold on
		}
	}))
	err := server.Serve(l)
	if stop() {
		return err
	}
	<-stopped
	return ctx.Err()
}

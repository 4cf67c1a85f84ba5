package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"connectrpc.com/connect"
	"github.com/mdlayher/vsock"

	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
)

// maxMessage is the largest message of the admin API, in bytes.
const maxMessage = 16 << 20

// box is a connection to one box's admin API.
type box struct {
	entroosv1connect.AdminServiceClient
	ledger    entroosv1connect.LedgerServiceClient
	router    entroosv1connect.RouterServiceClient
	transport *http.Transport
}

// adminSocket is the admin API's path on a box.
const adminSocket = "/run/entroos/admin.sock"

// dialBox makes a client of the box that the command is for. It connects when
// first used.
func (env *environment) dialBox() (*box, error) {
	address := env.admin
	dial, err := env.sshDialer()
	if dial == nil && err == nil {
		dial, err = dialer(address)
	}
	if err != nil {
		return nil, usageError(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dial(ctx)
			var told *sshError
			if err != nil && !errors.As(err, &told) {
				err = &unreachableError{address, err}
			}
			return conn, err
		},
	}
	client := &http.Client{Transport: transport}
	options := connect.WithReadMaxBytes(maxMessage)
	return &box{
		AdminServiceClient: entroosv1connect.NewAdminServiceClient(client, "http://box", options),
		ledger:             entroosv1connect.NewLedgerServiceClient(client, "http://box", options),
		router:             entroosv1connect.NewRouterServiceClient(client, "http://box", options),
		transport:          transport,
	}, nil
}

func (b *box) close() { b.transport.CloseIdleConnections() }

// dialer reads an address.
func dialer(address string) (func(context.Context) (net.Conn, error), error) {
	network, rest, _ := strings.Cut(address, ":")
	switch network {
	case "unix":
		if rest == "" {
			break
		}
		return func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", rest)
		}, nil
	case "vsock":
		cidText, portText, _ := strings.Cut(rest, ":")
		cid, err := strconv.ParseUint(cidText, 10, 32)
		if err != nil {
			break
		}
		port, err := strconv.ParseUint(portText, 10, 32)
		if err != nil {
			break
		}
		return func(context.Context) (net.Conn, error) {
			return vsock.Dial(uint32(cid), uint32(port), nil)
		}, nil
	}
	return nil, fmt.Errorf("--admin %q is neither unix:PATH nor vsock:CID:PORT", address)
}

// unreachableError says that nobody answers at the box's address.
type unreachableError struct {
	address string
	err     error
}

func (e *unreachableError) Error() string {
	text := fmt.Sprintf("no box answers at %s: %v", e.address, rootCause(e.err))
	if e.address == defaultAdmin && errors.Is(e.err, fs.ErrNotExist) {
		text += "; away from the box name it with --box HOST, or start one with `entroos vm`"
	}
	return text
}

func (e *unreachableError) Unwrap() error { return e.err }

// sshError is why a box is not reached over SSH, with the way out.
type sshError struct {
	text string
	err  error
}

func (e *sshError) Error() string { return e.text }

func (e *sshError) Unwrap() error { return e.err }

// rootCause is the system's word in a network error.
func rootCause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

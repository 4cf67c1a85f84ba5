// Command ledgerd keeps the ledger: it runs the chain and serves
// LedgerService on a unix socket. `ledgerd verify` checks an exported receipt.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/entroos/entroos/api/unixsocket"
	"github.com/entroos/entroos/ledger/chain"
)

// exitConfig is EX_CONFIG of sysexits.h: the home folder is not what the flags say.
const exitConfig = 78

// Memory is scarce on a small box, and there is little garbage: collect often.
const (
	gcPercent   = 50
	memoryLimit = 24 << 20
)

// maxStreams bounds the receipts that one client offers at a time. They come in
// any order; were the one that the others wait for not let in, none would move.
const maxStreams = 1000

// shutdownGrace bounds the wait for answers that are on their way.
const shutdownGrace = 2 * time.Second

func main() {
	if len(os.Args) > 1 && os.Args[1] == "verify" {
		if err := verify(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var (
		home    = flag.String("home", "/perm/ledger", "folder that holds the ledger")
		socket  = flag.String("socket", "/run/entroos/ledger.sock", "unix socket to serve on")
		chainID = flag.String("chain-id", "", "the ledger's name, such as entroos-0123456789abcdef")
		node    = flag.String("node", "", "this node's Ed25519 public key in hexadecimal")
		verbose = flag.Bool("verbose", false, "log every step of consensus")
	)
	flag.Parse()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	err := run(*home, *socket, *chainID, *node, logger)
	switch {
	case err == nil:
	case errors.Is(err, chain.ErrIdentity):
		fmt.Fprintln(os.Stderr, "ledgerd:", err)
		os.Exit(exitConfig)
	default:
		fmt.Fprintln(os.Stderr, "ledgerd:", err)
		os.Exit(1)
	}
}

func run(home, socket, chainID, node string, logger *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	key, err := hex.DecodeString(node)
	if err != nil || len(key) != 32 {
		return fmt.Errorf("--node %q is not an Ed25519 public key in hexadecimal", node)
	}
	n, err := chain.Open(chain.Config{Home: home, ChainID: chainID, Node: [32]byte(key), Logger: logger})
	if err != nil {
		return err
	}
	err = serve(ctx, n, socket, logger)
	return errors.Join(err, n.Close())
}

// serve answers on the socket until ctx is done or the chain has failed.
func serve(ctx context.Context, n *chain.Node, socket string, logger *slog.Logger) error {
	listener, err := unixsocket.Listen(socket)
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	// Submissions wait for their block; on the way out they are answered at
	// once that they are pending.
	requests, answer := context.WithCancel(context.Background())
	defer answer()
	server := &http.Server{
		Handler: n.Handler(), Protocols: protocols,
		BaseContext: func(net.Listener) context.Context { return requests },
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:    slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	status, err := n.Status()
	if err != nil {
		return errors.Join(err, server.Close())
	}
	logger.Info("serving the ledger", "chain", status.ChainID, "height", status.Height,
		"receipts", status.TreeSize, "genesis", hex.EncodeToString(status.GenesisHash[:]), "socket", socket)

	select {
	case <-ctx.Done():
	case <-n.Done():
		err = n.Err()
	case err = <-failed:
		err = fmt.Errorf("serve on %s: %w", socket, err)
	}
	answer()
	grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	if server.Shutdown(grace) != nil {
		err = errors.Join(err, server.Close())
	}
	return err
}

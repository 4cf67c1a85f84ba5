// Package daemon is routerd, a process of its own.
package daemon

import (
	"context"
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
	"github.com/entroos/entroos/router/service"
)

// Memory is scarce on a small box: collect often.
const (
	gcPercent   = 50
	memoryLimit = 16 << 20
)

// maxStreams bounds what one node asks at a time: each container that is queued
// is a request under way.
const maxStreams = 10_000

// shutdownGrace bounds the wait for answers that are on their way.
const shutdownGrace = time.Second

// Main is routerd's main. It returns the exit status.
func Main(args []string) int {
	flags := flag.NewFlagSet("routerd", flag.ContinueOnError)
	socket := flags.String("socket", "/run/entroos/router.sock", "unix socket to serve on")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(*socket, logger); err != nil {
		fmt.Fprintln(os.Stderr, "routerd:", err)
		return 1
	}
	return 0
}

// run serves until the process is asked to end.
func run(socket string, logger *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	placement, err := service.New(logger)
	if err != nil {
		return err
	}
	listener, err := unixsocket.Listen(socket)
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	// Those who wait for a place are sent away when it ends: they come again.
	requests, answer := context.WithCancel(context.Background())
	defer answer()
	server := &http.Server{
		Handler: placement.Handler(), Protocols: protocols,
		BaseContext: func(net.Listener) context.Context { return requests },
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:    slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	logger.Info("serving placement", "socket", socket)
	select {
	case <-ctx.Done():
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

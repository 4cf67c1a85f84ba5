package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/entroos/entroos/appliance/mdns"
)

// nameService answers in mDNS for the box's name of the moment.
type nameService struct {
	logger *slog.Logger
	start  func(name string, f func())

	hostname string
	end      func() // of the responder that runs
}

func newNameService(logger *slog.Logger, start func(string, func())) *nameService {
	return &nameService{logger: logger, start: start, end: func() {}}
}

// set answers for another name, if it is another.
func (n *nameService) set(hostname string) {
	if hostname == n.hostname {
		return
	}
	n.stop()
	n.hostname = hostname
	if hostname == "" {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	n.end = func() { cancel(); running.Wait() }
	changes := make(chan struct{}, 1)
	responder := &mdns.Responder{
		Hostname: hostname, Interfaces: mdns.Wired, Changes: changes, Logger: n.logger, Go: n.start,
	}
	running.Add(2)
	n.start("mdns", func() { defer running.Done(); n.keep(ctx, responder.Serve) })
	n.start("mdns interfaces", func() {
		defer running.Done()
		n.keep(ctx, func(ctx context.Context) error { return mdns.WatchInterfaces(ctx, changes) })
	})
}

// stop says goodbye.
func (n *nameService) stop() {
	n.end()
	n.end, n.hostname = func() {}, ""
}

// keep serves again after each failure, until ctx ends.
func (n *nameService) keep(ctx context.Context, serve func(context.Context) error) {
	for {
		err := serve(ctx)
		if ctx.Err() != nil {
			return
		}
		n.logger.Error("mdns does not serve", "error", err)
		select {
		case <-time.After(remoteRetry):
		case <-ctx.Done():
			return
		}
	}
}

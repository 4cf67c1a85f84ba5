package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// How long the banner waits for a box that is still starting, and how often it
// asks.
const (
	bannerPatience = 30 * time.Second
	bannerInterval = 250 * time.Millisecond
	bannerAsk      = 3 * time.Second
)

// greet prints the banner: what the box is, where it is reached, what to type.
// Ctrl-C ends the wait for a box that is still starting.
func (c *console) greet(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer c.env.interrupts.handle(func(os.Signal) { cancel() })()
	defer c.cook()()
	status, err := c.startedStatus(ctx)
	out := &strings.Builder{}
	out.WriteString("\n")
	if err != nil {
		fmt.Fprintf(out, "EntroOS\n\n  %s\n", message(err))
	} else {
		writeBanner(out, status)
		if c.who != nil {
			fmt.Fprintf(out, "  SSH:         %s\n", sshText(c.who))
		}
	}
	out.WriteString("\nType help for the commands; TAB completes. Begin with: status, ps, ledger ls\n\n")
	// A terminal that takes no banner takes no prompt either, which tells.
	_, _ = fmt.Fprint(c.env.stdout, out)
}

// sshText says whether, and how, the box is administered from afar.
func sshText(a *entroosv1.WatchAccessResponse) string {
	if len(a.AuthorizedKeys) == 0 {
		return "off; `help config set` shows how to give it a key"
	}
	text := fmt.Sprintf("entroos --box %s.local", printable(a.Hostname))
	if a.SshPort != 22 {
		text += fmt.Sprintf(":%d", a.SshPort)
	}
	return text
}

func writeBanner(out *strings.Builder, s *entroosv1.GetStatusResponse) {
	fmt.Fprintf(out, "EntroOS %s on %s, %s\n\n", s.Version, s.Hostname, s.State)
	addresses := "none yet"
	if len(s.Addresses) > 0 {
		addresses = strings.Join(s.Addresses, ", ")
	}
	fmt.Fprintf(out, "  Address:     %s\n", addresses)
	fmt.Fprintf(out, "  Containers:  %d running\n", s.ContainersRunning)
	fmt.Fprintf(out, "  Receipts:    %d in the ledger, %d waiting\n", s.ReceiptsCommitted, s.ReceiptsWaiting)
	for _, p := range s.Problems {
		fmt.Fprintf(out, "  Problem:     %s\n", printable(p))
	}
}

// startedStatus is the box's status, once it has started if this is its own
// console: the console is there before the box is ready.
func (c *console) startedStatus(ctx context.Context) (*entroosv1.GetStatusResponse, error) {
	deadline := time.Now().Add(bannerPatience)
	for {
		status, err := c.env.status(ctx)
		settled := err == nil && status.State != "starting"
		if settled || !c.box || time.Now().After(deadline) {
			return status, err
		}
		select {
		case <-time.After(bannerInterval):
		case <-ctx.Done():
			return status, errors.Join(err, ctx.Err())
		}
	}
}

// status asks the box for a short time only.
func (env *environment) status(ctx context.Context) (*entroosv1.GetStatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, bannerAsk)
	defer cancel()
	var status *entroosv1.GetStatusResponse
	err := env.withBox(ctx, func(ctx context.Context, b *box) error {
		res, err := b.GetStatus(ctx, connect.NewRequest(&entroosv1.GetStatusRequest{}))
		if err == nil {
			status = res.Msg
		}
		return err
	})
	return status, err
}

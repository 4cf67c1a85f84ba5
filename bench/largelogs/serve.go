package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// A client goes to a server once, and leaves it again.
type client func(context.Context) error

// clients is how many go to a server at a time.
const clients = 4

// serve runs a server at an address, and sends it clients until its log has so
// many bytes.
func serve(ctx context.Context, server *exec.Cmd, address, log string, bytes int64, next func(i uint64) client) error {
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		return err
	}
	err := awaitAddress(ctx, address)
	if err == nil {
		var running sync.WaitGroup
		failed := make([]error, clients)
		for i := range failed {
			running.Go(func() {
				visit := next(uint64(i))
				for failed[i] == nil && size(log) < bytes && ctx.Err() == nil {
					failed[i] = visit(ctx)
				}
			})
		}
		running.Wait()
		err = errors.Join(append(failed, ctx.Err())...)
	}
	err = errors.Join(err, server.Process.Signal(syscall.SIGTERM))
	_ = server.Wait() // it was told to end
	return err
}

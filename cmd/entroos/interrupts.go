package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interrupts hands the process's signals to whoever wants them now: a command
// that they cancel, or an attached container that they are passed on to.
type interrupts struct {
	mu      sync.Mutex
	handler func(os.Signal)
}

// listen begins to take the process's signals.
func (in *interrupts) listen() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for s := range signals {
			in.deliver(s)
		}
	}()
}

func (in *interrupts) deliver(s os.Signal) {
	in.mu.Lock()
	handler := in.handler
	in.mu.Unlock()
	if handler != nil {
		handler(s)
	}
}

// handle sends signals to a function until restore is called.
func (in *interrupts) handle(handler func(os.Signal)) (restore func()) {
	in.mu.Lock()
	defer in.mu.Unlock()
	before := in.handler
	in.handler = handler
	return func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.handler = before
	}
}

// cancels has a signal call cancel. The returned function tells the signal
// that did, nil when none has.
func (in *interrupts) cancels(cancel func()) (first func() os.Signal, restore func()) {
	var mu sync.Mutex
	var got os.Signal
	restore = in.handle(func(s os.Signal) {
		mu.Lock()
		if got == nil {
			got = s
		}
		mu.Unlock()
		cancel()
	})
	return func() os.Signal {
		mu.Lock()
		defer mu.Unlock()
		return got
	}, restore
}

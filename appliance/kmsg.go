package appliance

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/entroos/entroos/nko"
)

// NewLogger gives PID 1's logger: each record goes to the ring, from which
// `services logs init` reads, and to the kernel's log, where a panic's record (pstore)
// finds it.
func NewLogger(ring *nko.LogRing) *slog.Logger {
	h := &kmsgHandler{ring: ring, out: io.Discard}
	if f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
		h.out = f
	}
	return slog.New(h)
}

// kmsgHandler writes a record as one line of slog's text format, without its
// time (both logs keep their own), behind the kernel's level.
type kmsgHandler struct {
	ring  *nko.LogRing
	out   io.Writer
	with  []func(slog.Handler) slog.Handler
	mutex sync.Mutex
}

func (h *kmsgHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h *kmsgHandler) Handle(ctx context.Context, r slog.Record) error {
	var line strings.Builder
	var text slog.Handler = slog.NewTextHandler(&line, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})
	for _, w := range h.with {
		text = w(text)
	}
	if err := text.Handle(ctx, r); err != nil {
		return err
	}
	entry := strings.TrimSuffix(line.String(), "\n")
	h.ring.Add(nko.LogLine{At: r.Time, Stderr: true, Text: []byte(entry)})
	h.mutex.Lock()
	defer h.mutex.Unlock()
	// A kernel log record holds about 1,000 bytes.
	const most = 900
	_, err := fmt.Fprintf(h.out, "<%d>entroos: %.*s\n", kernelLevel(r.Level), most, entry)
	return err
}

// kernelLevel is a level of syslog(2), of the facility "user".
func kernelLevel(l slog.Level) int {
	const user = 1 << 3
	switch {
	case l >= slog.LevelError:
		return user | 3
	case l >= slog.LevelWarn:
		return user | 4
	}
	return user | 6
}

func (h *kmsgHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.derive(func(t slog.Handler) slog.Handler { return t.WithAttrs(attrs) })
}

func (h *kmsgHandler) WithGroup(name string) slog.Handler {
	return h.derive(func(t slog.Handler) slog.Handler { return t.WithGroup(name) })
}

func (h *kmsgHandler) derive(w func(slog.Handler) slog.Handler) slog.Handler {
	return &kmsgHandler{ring: h.ring, out: h.out, with: append(append([]func(slog.Handler) slog.Handler(nil), h.with...), w)}
}

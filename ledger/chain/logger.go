package chain

import (
	"context"
	"log/slog"

	cmtlog "github.com/cometbft/cometbft/libs/log"
)

// logger gives CometBFT's log to slog. What CometBFT calls info comes several
// times a block, so it is debug here.
type logger struct{ slog *slog.Logger }

var _ cmtlog.Logger = logger{}

func (l logger) Debug(string, ...any) {}

func (l logger) Info(msg string, keyvals ...any) {
	l.slog.Log(context.Background(), slog.LevelDebug, msg, keyvals...)
}

func (l logger) Warn(msg string, keyvals ...any) { l.slog.Warn(msg, keyvals...) }

func (l logger) Error(msg string, keyvals ...any) { l.slog.Error(msg, keyvals...) }

func (l logger) With(keyvals ...any) cmtlog.Logger {
	return logger{l.slog.With(keyvals...)}
}

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// logLayouts are how a moment may be written. Without a zone it is meant in
// that of whoever asks.
var logLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04", time.DateOnly,
}

// clockLayouts are those of a moment of today.
var clockLayouts = []string{"15:04:05.999999999", "15:04"}

// parseLogTime reads a moment: how long ago ("10m", "1h30m", "2d"), by date and
// time of day, by the time of day alone, or in seconds since 1970. How long ago
// is counted by the box's clock, which need not be that of whoever asks. Empty is
// no moment.
func parseLogTime(text string, now time.Time) (*entroosv1.LogTime, error) {
	if text == "" {
		return nil, nil
	}
	if ago, ok := parseAgo(text); ok {
		return &entroosv1.LogTime{Time: &entroosv1.LogTime_AgoNanos{AgoNanos: int64(ago)}}, nil
	}
	at, ok := parseMoment(text, now)
	if !ok {
		return nil, fmt.Errorf(`%q is no time: say how long ago (10m, 2h30m, 1d) or when ("2026-11-23 10:00", 2026-11-23T10:00:00Z, 10:00)`, text)
	}
	return &entroosv1.LogTime{Time: &entroosv1.LogTime_UnixNano{UnixNano: at.UnixNano()}}, nil
}

// parseAgo reads a duration; days may come first.
func parseAgo(text string) (ago time.Duration, ok bool) {
	const day = 24 * time.Hour
	if days, rest, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, false
		}
		ago = time.Duration(n) * day // at most 180 years
		if text = rest; text == "" {
			return ago, true
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > math.MaxInt64-ago {
		return 0, false
	}
	return ago + d, true
}

func parseMoment(text string, now time.Time) (at time.Time, ok bool) {
	for _, layout := range logLayouts {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, inNanoseconds(at)
		}
	}
	for _, layout := range clockLayouts {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			year, month, day := now.Date()
			return time.Date(year, month, day, at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), now.Location()), true
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 || seconds > math.MaxInt64/int64(time.Second) {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0), true
}

// inNanoseconds says whether a time can be told in nanoseconds since 1970.
func inNanoseconds(at time.Time) bool { return at.Year() >= 1970 && at.Year() < 2262 }

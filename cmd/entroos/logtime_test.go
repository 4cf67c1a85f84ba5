package main

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func TestLogTime(t *testing.T) {
	zone := time.FixedZone("here", 2*3600)
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"2026-11-22":                     time.Date(2026, 11, 22, 0, 0, 0, 0, zone),
		"2026-11-22 10:00":               time.Date(2026, 11, 22, 10, 0, 0, 0, zone),
		"2026-11-22 10:00:01.5":          time.Date(2026, 11, 22, 10, 0, 1, 5e8, zone),
		"2026-11-22T10:00":               time.Date(2026, 11, 22, 10, 0, 0, 0, zone),
		"2026-11-22T10:00:01Z":           time.Date(2026, 11, 22, 10, 0, 1, 0, time.UTC),
		"2026-11-22T10:00:01.000000002Z": time.Date(2026, 11, 22, 10, 0, 1, 2, time.UTC),
		"2026-11-22T10:00:01-01:00":      time.Date(2026, 11, 22, 11, 0, 1, 0, time.UTC),
		"10:00":                          time.Date(2026, 11, 23, 10, 0, 0, 0, zone),
		"1800000000":                     time.Unix(1_800_000_000, 0),
	} {
		got, err := parseLogTime(text, now)
		if err != nil || got.GetUnixNano() != want.UnixNano() {
			t.Errorf("%s is %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]time.Duration{"0s": 0, "10m": 10 * time.Minute, "1h30m": 90 * time.Minute, "2d": 48 * time.Hour, "1d12h": 36 * time.Hour} {
		got, err := parseLogTime(text, now)
		if _, ago := got.GetTime().(*entroosv1.LogTime_AgoNanos); err != nil || !ago || time.Duration(got.GetAgoNanos()) != want {
			t.Errorf("%s ago is %v, %v", text, got, err)
		}
	}
	if got, err := parseLogTime("", now); got != nil || err != nil {
		t.Errorf("no time is %v, %v", got, err)
	}
	for _, bad := range []string{
		"soon", "-1m", "1x", "d", "-1d", "1.5d", "70000d", "2026-13-01", "25:00", "1960-01-01", "9999-01-01", "99999999999999999999", "-5",
		"36500d 2", "60000d2500000h",
	} {
		if got, err := parseLogTime(bad, now); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

// What -t prints in front of a line can be asked for.
func TestLogTimeOfTimestamps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(0, rapid.Int64Range(0, 1<<62).Draw(t, "at"))
		got, err := parseLogTime(at.UTC().Format("2006-01-02T15:04:05.000000000Z"), time.Now())
		if err != nil || got.GetUnixNano() != at.UnixNano() {
			t.Fatalf("%v is %v, %v", at, got, err)
		}
	})
}

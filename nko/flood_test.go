//go:build !guest

package nko

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/runtime/rate"
)

func TestFloodingServiceIsSlowedDown(t *testing.T) {
	var written bytes.Buffer
	w := slowWriter{&written, rate.NewBucket(1<<20, 64<<10)}
	start := time.Now()
	text := strings.Repeat("a line\n", 24<<10) // 168 KiB
	if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatal(n, err)
	}
	if took := time.Since(start); took < 100*time.Millisecond {
		t.Errorf("168 KiB in %v", took)
	}
	if written.String() != text {
		t.Error("something was dropped")
	}
}

func TestServiceLogHasABucket(t *testing.T) {
	sup := startSupervisor(t)
	s, err := sup.Add(ServiceSpec{Name: "talker", Process: sh("echo 0123456789; exec sleep 1000")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sup.Add(ServiceSpec{Name: "quiet", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has taken its tokens", func() bool { return !s.bucket.Full(time.Now().Add(-time.Hour)) })
	facts := sup.Buckets()
	if len(facts) != 1 || facts[0].Name != "log of service talker" || facts[0].After != serviceLogBurst {
		t.Errorf("%+v", facts)
	}
}

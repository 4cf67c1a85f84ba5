package appliance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/equations"
)

// A peer's calls beyond its burst are answered, later; another's are not slowed.
func TestFloodOfCalls(t *testing.T) {
	var p peers
	h := p.slow(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	call := func(peer string, n int) time.Duration {
		start := time.Now()
		for range n {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, peer)))
			if w.Code != http.StatusOK {
				t.Fatalf("status %d", w.Code)
			}
		}
		return time.Since(start)
	}
	// A tenth of a second's worth more than there can be.
	if took, least := call("process 1", callBurst+callRate/10), 100*time.Millisecond; took < least {
		t.Errorf("%d calls in %v", callBurst+callRate/10, took)
	}
	full := p.bucket("process 2")
	if call("process 2", 10) > time.Minute || full.Full(time.Now().Add(-time.Hour)) {
		t.Error("another peer has no bucket of its own")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	called := false
	p.slow(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true })).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil).WithContext(context.WithValue(ctx, peerKey{}, "process 1")))
	if called {
		t.Error("a caller who has left is served before its turn")
	}
}

func TestPeersAreForgotten(t *testing.T) {
	var p peers
	for i := range 10 * peersKept {
		p.bucket(fmt.Sprint(i))
	}
	if len(p.buckets) > peersKept {
		t.Errorf("%d buckets", len(p.buckets))
	}
}

func TestPeerOfAUnixSocket(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if got, want := withPeer(t.Context(), ours).Value(peerKey{}), fmt.Sprintf("process %d", os.Getpid()); got != want {
		t.Errorf("peer %q, want %q", got, want)
	}
}

// The facts of what is at work reach the live checks.
func TestTelemetryOfServices(t *testing.T) {
	b := newTestBox(t)
	if _, err := b.admin.ListServices(t.Context(), connect.NewRequest(new(entroosv1.ListServicesRequest))); err != nil {
		t.Fatal(err)
	}
	telemetry := new(equations.Telemetry)
	if err := b.systemTelemetry(t.Context(), telemetry); err != nil {
		t.Fatal(err)
	}
	caller := fmt.Sprintf("admin API, process %d", os.Getpid())
	found := false
	for _, f := range telemetry.Buckets {
		found = found || f.Name == caller
	}
	if !found {
		t.Errorf("%q is not among %+v", caller, telemetry.Buckets)
	}
	if len(telemetry.Services) != len(b.Supervisor.Services()) {
		t.Errorf("%d services of %d", len(telemetry.Services), len(b.Supervisor.Services()))
	}
}

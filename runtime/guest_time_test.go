//go:build guest

package runtime_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime"
)

// TestStartTime compares a container's way from Create to Done with a bare
// runc's run of the same bundle.
func TestStartTime(t *testing.T) {
	b := newBox(t)
	held := b.create(b.id(), spec("exit", "0"), runtime.IO{})
	bundle := filepath.Join(b.config.Run, "bundles", held.ID())
	raw, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config specs.Spec
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	config.Linux.CgroupsPath = "/workloads/bare"
	bare := t.TempDir()
	if raw, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bare, "config.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	const rounds = 15
	var create, start, whole, alone []time.Duration
	for range rounds {
		w, err := b.Resolve(spec("exit", "0"))
		if err != nil {
			t.Fatal(err)
		}
		id := b.id()
		begin := time.Now()
		c, err := b.Create(t.Context(), id, w, runtime.IO{})
		if err != nil {
			t.Fatal(err)
		}
		created := time.Now()
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		create = append(create, created.Sub(begin))
		start = append(start, time.Since(created))
		result(t, c)
		whole = append(whole, time.Since(begin))
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		begin = time.Now()
		if out, err := exec.Command("/bin/runc", "--root", t.TempDir(), "run", "--bundle", bare, "bare").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		alone = append(alone, time.Since(begin))
	}
	if err := held.Kill(t.Context(), int(unix.SIGKILL)); err != nil {
		t.Error(err)
	}
	for what, times := range map[string][]time.Duration{"create": create, "start": start, "create to done": whole, "bare runc run": alone} {
		slices.Sort(times)
		t.Logf("%-15s median %v, from %v to %v", what, times[rounds/2], times[0], times[rounds-1])
	}
}

//go:build vm

package qemu_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestNodeEntropy: a box assesses its own noise soon after its start, and says
// so.
func TestNodeEntropy(t *testing.T) {
	t.Parallel()
	b := boot(t, nil)
	b.until("an assessment of the noise", func() (bool, string) {
		var s struct {
			Entropy  float64 `json:"node_entropy"`
			Healthy  bool    `json:"node_entropy_healthy"`
			Assessed bool    `json:"node_entropy_assessed"`
		}
		b.get(&s, "status")
		if s.Assessed && (!s.Healthy || s.Entropy <= 0.1 || s.Entropy > 1) || !s.Assessed && s.Entropy != 0 {
			b.Errorf("%+v", s)
		}
		return s.Assessed, fmt.Sprintf("%+v", s)
	})
	if out := b.run("status"); !strings.Contains(out, "bits a bit") {
		t.Errorf("status says nothing of it:\n%s", out)
	}
	var noise string
	for line := range strings.Lines(b.run("services")) {
		if strings.HasPrefix(line, "noise") {
			noise = line
		}
	}
	if !strings.Contains(noise, "running") {
		t.Errorf("its service: %q", noise)
	}
	b.checkReady("/dev/vda4")
}

package appliance

import (
	"slices"
	"strings"
	"testing"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime"
)

func TestDriftIsMarkedAndHintedAt(t *testing.T) {
	var containers []*entroosv1.Container
	for _, name := range []string{"web", "job", "new"} {
		containers = append(containers, &entroosv1.Container{Id: name + "-id", Spec: &entroosv1.WorkloadSpec{Name: name}})
	}
	marked := mark(containers, func(id string) runtime.Drift {
		return map[string]runtime.Drift{
			"web-id": {Divergence: 0.42, Known: true, Drifted: true},
			"job-id": {Divergence: 0.01, Known: true},
		}[id]
	})
	if !marked[0].GetOutputDrifted() || marked[0].GetOutputDrift() != 0.42 || marked[1].GetOutputDrifted() || marked[1].OutputDrift == nil {
		t.Errorf("%v", marked)
	}
	if marked[2].OutputDrift != nil || slices.ContainsFunc(containers, func(c *entroosv1.Container) bool { return c.OutputDrift != nil }) {
		t.Error("what is not known is told, or the containers of others are changed")
	}
	hints := driftHints(marked)
	if len(hints) != 1 || !strings.Contains(hints[0], "container web") || !strings.Contains(hints[0], "logs web") {
		t.Errorf("%q", hints)
	}
}

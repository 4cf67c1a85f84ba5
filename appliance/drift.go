package appliance

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime"
)

// withDrift gives containers with what is known of the drift of their output.
func (b *Box) withDrift(containers []*entroosv1.Container) []*entroosv1.Container {
	if b.Runtime == nil {
		return containers
	}
	return mark(containers, b.Runtime.Drift)
}

// mark gives containers with their drift; those that it gets are others' too.
func mark(containers []*entroosv1.Container, drift func(id string) runtime.Drift) []*entroosv1.Container {
	marked := make([]*entroosv1.Container, len(containers))
	for i, c := range containers {
		marked[i] = c
		if d := drift(c.GetId()); d.Known {
			c = proto.CloneOf(c)
			c.OutputDrift, c.OutputDrifted = &d.Divergence, d.Drifted
			marked[i] = c
		}
	}
	return marked
}

// driftHints name the containers whose output is worth a look. Nothing is wrong
// with the box for it.
func driftHints(containers []*entroosv1.Container) []string {
	var hints []string
	for _, c := range containers {
		if c.GetOutputDrifted() {
			name := c.GetSpec().GetName()
			hints = append(hints, fmt.Sprintf("what container %s writes is unlike what it wrote before (divergence %.2f of 1); see `logs %s`", name, c.GetOutputDrift(), name))
		}
	}
	return hints
}

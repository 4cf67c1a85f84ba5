package nko

import (
	"errors"
	"strings"
	"testing"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/router"
	"github.com/entroos/entroos/runtime"
)

// What routerd would not take must not start without it either: a node that told
// of it would tell nonsense.
func TestReplicaRefused(t *testing.T) {
	for name, test := range map[string]struct {
		spec *entroosv1.WorkloadSpec
		want string
	}{
		"constraint's form":    {&entroosv1.WorkloadSpec{Constraints: []string{"node.id=x"}}, "node.id=x"},
		"constraint's subject": {&entroosv1.WorkloadSpec{Constraints: []string{"node.id!=x", "node.colour==red"}}, "node.colour"},
		"memory":               {&entroosv1.WorkloadSpec{MemoryRequestBytes: router.MaxMemory + 1}, "memory reservation"},
		"CPU":                  {&entroosv1.WorkloadSpec{CpuRequestMilli: 1_000_001}, "CPU request"},
		"weight":               {&entroosv1.WorkloadSpec{CpuWeight: 10_001}, "CPU weight"},
	} {
		r, err := replica(&entroosv1.Container{Id: "c", Spec: test.spec}, new(runtime.Workload))
		if !errors.Is(err, runtime.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	spec := &entroosv1.WorkloadSpec{Constraints: []string{"node.labels.disk==ssd"}, MemoryRequestBytes: router.MaxMemory}
	if _, err := replica(&entroosv1.Container{Id: "c", Spec: spec}, new(runtime.Workload)); err != nil {
		t.Error(err)
	}
}

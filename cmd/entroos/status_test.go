package main

import (
	"testing"

	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func TestCPUText(t *testing.T) {
	for want, r := range map[string]*entroosv1.Resources{
		"4":                                   nil,
		"4, target 20 %":                      {Target: 0.2},
		"4, 19.8 % used, target 20 %":         {Target: 0.2, Utilisation: proto.Float64(0.198)},
		"4, 0.0 % used, target 12.5 %":        {Target: 0.125, Utilisation: proto.Float64(0)},
		"4, 73.2 % used, no target, 11.3 W":   {Target: 1, Utilisation: proto.Float64(0.732), Watts: 11.31},
		"4, 100.0 % used, target 20 %, 9.0 W": {Target: 0.2, Utilisation: proto.Float64(1), Watts: 9},
	} {
		if got := cpuText(4, r); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func TestLogsText(t *testing.T) {
	for want, c := range map[string][2]uint64{
		"none":                           {0, 0},
		"20MiB, which take 1MiB (5.0 %)": {20 << 20, 1 << 20},
		"10B, which take 40B (400.0 %)":  {10, 40},
	} {
		if got := logsText(c[0], c[1]); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

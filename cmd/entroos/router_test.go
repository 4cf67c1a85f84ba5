package main

import (
	"context"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// queuedContainer is one for which the fake box has no room.
func queuedContainer(spec *entroosv1.WorkloadSpec) *entroosv1.Container {
	spec = proto.CloneOf(spec)
	if spec == nil {
		spec = new(entroosv1.WorkloadSpec)
	}
	if spec.Name == "" {
		spec.Name = "big"
	}
	return &entroosv1.Container{
		Id: containerID, Spec: spec, State: entroosv1.ContainerState_CONTAINER_STATE_QUEUED, QueuedReason: "no room",
		QueuedUnixNano: time.Now().Add(-time.Minute).UnixNano(),
	}
}

// fakeDecision is on a container that went to the better of two nodes.
func fakeDecision() *entroosv1.PlacementDecision {
	entropy := 0.75
	return &entroosv1.PlacementDecision{
		Replica: &entroosv1.Replica{
			Id: containerID, Name: "web", CpuMilli: 250, CpuWeight: 100, MemoryBytes: 32 << 20, Entropy: &entropy,
			Ports:       []*entroosv1.PortMapping{{HostPort: 80, ContainerPort: 8080, Protocol: "tcp"}},
			Constraints: []string{"node.labels.room==attic"},
		},
		Outcome: entroosv1.PlacementDecision_OUTCOME_PLACED, NodeId: "n1", WaitedMillis: 1500,
		Candidates: []*entroosv1.PlacementCandidate{
			{NodeId: "n1", Hostname: "cellar", Entropy: 0.9, Capacity: 1, Usage: 0.25, Score: 0.3254, Rank: 0.925, Chosen: true, Reason: "chosen: the highest rank"},
			{NodeId: strings.Repeat("ab", 32), Entropy: 0, Capacity: 0.5, Usage: 0, Filtered: true, Reason: "its noise source is unhealthy (E_n = 0)"},
		},
		Target: 0.2, Weight: 0.7,
	}
}

func (b *fakeBox) Explain(_ context.Context, r *connect.Request[entroosv1.ExplainRequest]) (*connect.Response[entroosv1.ExplainResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.ExplainResponse{Decision: fakeDecision(), Hypothetical: r.Msg.Spec != nil}), nil
}

func (b *fakeBox) RouterStatus(_ context.Context, r *connect.Request[entroosv1.RouterStatusRequest]) (*connect.Response[entroosv1.RouterStatusResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.RouterStatusResponse{
		StartedUnixNano: time.Now().Add(-time.Hour).UnixNano(), Target: 0.2, Weight: 0.7,
		Counters: &entroosv1.RouterCounters{Offered: 5, Placeable: 4, Placed: 3, Refused: 1},
		Nodes: []*entroosv1.RouterNodeStatus{{
			Node: &entroosv1.RouterNode{
				Id: "n1", Hostname: "cellar", CpuMilli: 2000, MemoryBytes: 320 << 20, Labels: map[string]string{"room": "attic"},
				EntropyHealth: entroosv1.EntropyHealth_ENTROPY_HEALTH_HEALTHY, Entropy: 0.9,
			},
			Capacity: 1, Usage: 0.125, CommittedCpuMilli: 250, CommittedMemoryBytes: 32 << 20,
			Replicas: []*entroosv1.Replica{fakeDecision().Replica},
		}},
		Queue: []*entroosv1.RouterQueued{{
			Replica:        &entroosv1.Replica{Name: "big", CpuMilli: 1900, CpuWeight: 100, MemoryBytes: 4 << 20},
			QueuedUnixNano: time.Now().Add(-time.Minute).UnixNano(), Reason: "node cellar: 1900 millicores asked, 1750 left",
		}},
		Decisions: []*entroosv1.PlacementDecision{fakeDecision()},
	}), nil
}

func TestRouterTables(t *testing.T) {
	explained := "Container:  web\n" +
		"Decision:   placed on cellar, after 1.5s in the queue\n" +
		"Demand:     0.25 cores, weight 100, 32MiB, ports 80->8080/tcp, node.labels.room==attic\n" +
		"E_c:        0.7500\n" +
		"With:       T = 0.2000, w = 0.7000, threshold = 0.0000\n" +
		"K:          as it would be with the container there, at U_n + d\n" +
		"\n" +
		"NODE          E_N     C_N     U_N     S       K       REASON\n" +
		"cellar        0.9000  1.0000  0.2500  0.3254  0.9250  chosen: the highest rank\n" +
		"abababababab  0.0000  0.5000  0.0000  0.0000  -       its noise source is unhealthy (E_n = 0)\n"
	for line, want := range map[string]string{
		"router explain web":          explained,
		"router explain":              explained,
		"router explain --spec nginx": strings.Replace(explained, "in the queue", "in the queue (as it would be decided now)", 1),
		"router status": "Router:     up about an hour\n" +
			"With:       T = 0.2000, w = 0.7000, threshold = 0.0000\n" +
			"Decisions:  5 offered, 3 placed, 1 refused, 0 left the queue\n" +
			"\n" +
			"NODE    E_N     C_N     U_N     CPU              MEMORY           CONTAINERS\n" +
			"cellar  0.9000  1.0000  0.1250  0.25 of 2 cores  32MiB of 320MiB  1\n" +
			"\n" +
			"QUEUED  SINCE               DEMAND                       REASON\n" +
			"big     about a minute ago  1.9 cores, weight 100, 4MiB  node cellar: 1900 millicores asked, 1750 left\n",
	} {
		if _, stdout, stderr, status := do(t, strings.Fields(line)...); status != 0 || stdout != want {
			t.Errorf("%s: exit %d %s\n%s\nwant\n%s", line, status, stderr, stdout, want)
		}
	}
}

func TestRouterJSON(t *testing.T) {
	var status struct {
		Nodes []struct {
			Node struct {
				Labels        map[string]string
				EntropyHealth string `json:"entropy_health"`
			}
		}
		Queue     []struct{ Replica struct{ Entropy *float64 } }
		Decisions []struct {
			Outcome string
			Replica struct{ Entropy *float64 }
		}
		Cycle *struct{}
	}
	if _, out, stderr, code := do(t, "router", "status", "--json"); code != 0 || json.Unmarshal([]byte(out), &status) != nil {
		t.Fatalf("exit %d %s: %s", code, stderr, out)
	}
	if status.Nodes[0].Node.Labels["room"] != "attic" || status.Nodes[0].Node.EntropyHealth != "healthy" || status.Cycle != nil ||
		status.Queue[0].Replica.Entropy != nil || *status.Decisions[0].Replica.Entropy != 0.75 || status.Decisions[0].Outcome != "placed" {
		t.Errorf("%+v", status)
	}
}

// TestWaitIsGivenUp: Ctrl-C while a run is queued ends it here and on the box.
func TestWaitIsGivenUp(t *testing.T) {
	b, admin := serveFakeBox(t)
	trial := newTrial(admin)
	ended := make(chan int, 1)
	go func() { ended <- trial.execute(context.Background(), []string{"run", "--name", "never", "large"}) }()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(trial.stderr.String(), "never is queued"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing said: %q", trial.stderr.String())
		}
	}
	trial.interrupts.deliver(syscall.SIGINT)
	if status := <-ended; status != 128+int(syscall.SIGINT) {
		t.Errorf("exit %d: %s", status, trial.stderr.String())
	}
	select {
	case <-b.signals:
	case <-time.After(20 * time.Second):
		t.Error("the box waits on")
	}
}

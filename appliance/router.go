package appliance

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
	"github.com/entroos/entroos/nko"
)

// RouterSocket is routerd's.
const RouterSocket = RunPath + "/router.sock"

// StartRouter starts routerd, which from then on places the box's workloads.
func (b *Box) StartRouter() error {
	if b.Workloads == nil {
		return nil
	}
	memory, err := MemoryTotal()
	if err != nil {
		return err
	}
	facts := func() nko.NodeFacts { return b.nodeFacts(memory) }
	link := nko.NewRouterLink(RouterSocket, hex.EncodeToString(b.Store.Node[:]), facts, b.Logger)
	b.Router = link
	b.Workloads.PlaceWith(link)
	if b.Governor != nil {
		b.Workloads.PlaceWith(nko.Braked(link, b.Governor.Brake))
	}
	_, err = b.Supervisor.Add(nko.ServiceSpec{
		Name:    "routerd",
		Process: &nko.ProcessSpec{Path: "/bin/routerd", Args: []string{"--socket", RouterSocket}, Home: homePath},
		Probe:   link.Check,
	})
	_, lerr := b.Supervisor.Add(nko.ServiceSpec{Name: "placement", Run: link.Serve})
	return errors.Join(err, lerr)
}

// nodeFacts is what routerd is told of the box, which has so much memory.
func (b *Box) nodeFacts(memory uint64) nko.NodeFacts {
	settings := b.Config()
	node := &entroosv1.RouterNode{
		Id: hex.EncodeToString(b.Store.Node[:]), Hostname: settings.Hostname, Labels: settings.Labels,
		CpuMilli: uint64(goruntime.NumCPU()) * 1000, MemoryBytes: nko.WorkloadMemory(memory),
	}
	if name, err := os.Hostname(); err == nil {
		node.Hostname = name
	}
	if b.Noise != nil {
		value, healthy, assessed := b.Noise.Entropy()
		switch {
		case healthy && assessed:
			node.EntropyHealth, node.Entropy = entroosv1.EntropyHealth_ENTROPY_HEALTH_HEALTHY, value
		case assessed:
			node.EntropyHealth = entroosv1.EntropyHealth_ENTROPY_HEALTH_UNHEALTHY
		}
	}
	return nko.NodeFacts{Node: node, Target: settings.Resources.Target}
}

// Words of GetStatus.placement.
const (
	placedByRouter = "router"
	placedAlone    = "alone"
)

// placementStatus adds what decides on the start of workloads.
func (b *Box) placementStatus(st *entroosv1.GetStatusResponse) {
	if b.Router == nil {
		return
	}
	away, answers := b.Router.Away()
	if !answers {
		st.Placement = placedAlone
		st.PlacementNote = fmt.Sprintf("routerd does not answer since %.0f s: containers start without it", time.Since(away).Seconds())
		return
	}
	st.Placement = placedByRouter
	if b.Noise == nil {
		return
	}
	switch _, healthy, assessed := b.Noise.Entropy(); {
	case !assessed:
		st.PlacementNote = "the node's entropy is not assessed yet and left out"
	case !healthy:
		st.PlacementNote = "the node's noise source is unhealthy: its entropy is left out, as there is no other node"
	}
}

// routerProxy passes the reading part of the router's service on to routerd.
type routerProxy struct{ box *Box }

var _ entroosv1connect.RouterServiceHandler = (*routerProxy)(nil)

var errNodesOwn = connect.NewError(connect.CodePermissionDenied, errors.New("places are asked for by the box itself alone; `run` starts a container"))

// Sync is the node's own alone.
func (p *routerProxy) Sync(context.Context, *connect.Request[entroosv1.SyncRequest]) (*connect.Response[entroosv1.SyncResponse], error) {
	return nil, errNodesOwn
}

// Place is the node's own alone.
func (p *routerProxy) Place(context.Context, *connect.Request[entroosv1.PlaceRequest], *connect.ServerStream[entroosv1.PlaceResponse]) error {
	return errNodesOwn
}

// Release is the node's own alone.
func (p *routerProxy) Release(context.Context, *connect.Request[entroosv1.ReleaseRequest]) (*connect.Response[entroosv1.ReleaseResponse], error) {
	return nil, errNodesOwn
}

// Explain implements RouterService. It finds the container by its name, and
// makes a replica of a spec.
func (p *routerProxy) Explain(ctx context.Context, r *connect.Request[entroosv1.ExplainRequest]) (*connect.Response[entroosv1.ExplainResponse], error) {
	if p.box.Router == nil {
		return nil, errNoContainers
	}
	ask := new(entroosv1.ExplainRequest)
	switch {
	case r.Msg.GetSpec() != nil:
		replica, err := p.box.Workloads.Replica(r.Msg.GetSpec())
		if err != nil {
			return nil, apiError(err)
		}
		ask.Replica = replica
	case r.Msg.GetContainer() != "":
		c, err := p.box.Workloads.Get(r.Msg.GetContainer())
		if err != nil {
			return nil, apiError(err)
		}
		ask.Container = c.GetId()
	default:
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("neither a container nor a spec is named"))
	}
	return forward(ctx, connect.NewRequest(ask), "routerd", p.box.Router.Service().Explain)
}

// RouterStatus implements RouterService.
func (p *routerProxy) RouterStatus(ctx context.Context, r *connect.Request[entroosv1.RouterStatusRequest]) (*connect.Response[entroosv1.RouterStatusResponse], error) {
	if p.box.Router == nil {
		return nil, errNoContainers
	}
	return forward(ctx, r, "routerd", p.box.Router.Service().RouterStatus)
}

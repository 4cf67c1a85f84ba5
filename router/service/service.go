// Package service is routerd's part of the API: it keeps one router.Cluster and
// decides for the nodes that ask. It keeps nothing on a disk: nodes tell it
// again what they are and run when it has been away.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
	"github.com/entroos/entroos/router"
)

// maxDecisions is how many decisions are kept for RouterStatus and Explain.
const maxDecisions = 64

// maxMessage bounds a message to routerd, in bytes: a node's replicas.
const maxMessage = 4 << 20

// Service implements entroosv1connect.RouterServiceHandler. It is safe for
// concurrent use.
type Service struct {
	entroosv1connect.UnimplementedRouterServiceHandler

	logger  *slog.Logger
	now     func() time.Time
	started time.Time

	mu        sync.Mutex
	cluster   *router.Cluster
	nodes     map[string]*entroosv1.RouterNode
	replicas  map[string]*replica
	decisions []*entroosv1.PlacementDecision // the newest last
	lapse     *time.Timer                    // until a node that is kept free is open again; may be nil
}

// A replica is one that has a place, or waits for it.
type replica struct {
	*entroosv1.Replica
	by     string               // the node that asked
	placed chan router.Decision // buffered; nil when nobody waits
}

// New makes a Service without nodes.
func New(logger *slog.Logger) (*Service, error) {
	cluster, err := router.New(router.DefaultConfig())
	if err != nil {
		return nil, err
	}
	return &Service{
		logger: logger, now: time.Now, started: time.Now(), cluster: cluster,
		nodes: make(map[string]*entroosv1.RouterNode), replicas: make(map[string]*replica),
	}, nil
}

// Handler serves the service over Connect.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(entroosv1connect.NewRouterServiceHandler(s, connect.WithReadMaxBytes(maxMessage)))
	return mux
}

// Sync implements RouterServiceHandler. A replica that makes no sense is left
// out, so that it does not keep the rest of its node from being known.
func (s *Service) Sync(_ context.Context, r *connect.Request[entroosv1.SyncRequest]) (*connect.Response[entroosv1.SyncResponse], error) {
	node, err := nodeOf(r.Msg.GetNode())
	if err != nil {
		return nil, invalid(err)
	}
	told := router.Report{Node: node, Target: r.Msg.GetTarget()}
	running := make(map[string]*entroosv1.Replica, len(r.Msg.GetReplicas()))
	for _, p := range r.Msg.GetReplicas() {
		given, err := replicaOf(p, 0)
		if err == nil {
			err = given.Validate()
		}
		if err != nil {
			s.logger.Error("a replica is left out of account", "node", node.Hostname, "replica", p.GetName(), "error", err)
			continue
		}
		told.Running = append(told.Running, given)
		running[p.GetId()] = p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Msg.GetComplete() {
		for id, have := range s.replicas {
			if have.by == node.ID {
				told.Gone = append(told.Gone, id)
			}
		}
	}
	placed, err := s.cluster.Report(s.now(), told)
	if err != nil {
		return nil, invalid(err)
	}
	s.nodes[node.ID] = r.Msg.GetNode()
	for _, id := range told.Gone {
		s.drop(id)
	}
	for id, p := range running {
		s.drop(id)
		s.replicas[id] = &replica{Replica: p, by: node.ID}
	}
	s.tell(placed)
	s.arm()
	if r.Msg.GetComplete() {
		s.logger.Info("node", "hostname", node.Hostname, "id", node.ID, "replicas", len(running))
	}
	return connect.NewResponse(new(entroosv1.SyncResponse)), nil
}

// Place implements RouterServiceHandler.
func (s *Service) Place(ctx context.Context, r *connect.Request[entroosv1.PlaceRequest], stream *connect.ServerStream[entroosv1.PlaceResponse]) error {
	wanted := r.Msg.GetReplica()
	waited := time.Duration(min(r.Msg.GetWaitedMillis(), math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond
	given, err := replicaOf(wanted, waited)
	if err != nil {
		return invalid(err)
	}
	waiting, answer, err := s.place(r.Msg, given)
	if err != nil {
		return err
	}
	// Whoever leaves before he is told has asked for nothing.
	told := false
	defer func() {
		if !told {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.giveBack(wanted.GetId(), wanted.GetLease())
		}
	}()
	if err := stream.Send(answer); err != nil {
		return err
	}
	if waiting != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case d, ok := <-waiting:
			if !ok {
				return connect.NewError(connect.CodeAborted, errors.New("the replica is asked for again, or its node has told anew what it runs"))
			}
			if err := stream.Send(placedAnswer(d)); err != nil {
				return err
			}
		}
	}
	told = true
	return nil
}

// place decides on a replica. While it waits, the decision will come through
// the channel, which is closed if it is to wait no longer.
func (s *Service) place(r *entroosv1.PlaceRequest, given router.Replica) (<-chan router.Decision, *entroosv1.PlaceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes[r.GetNodeId()] == nil {
		return nil, nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("node %q is not known: call Sync first", r.GetNodeId()))
	}
	for _, l := range r.GetReleased() {
		s.giveBack(l.GetReplicaId(), l.GetLease())
	}
	s.release(given.ID)
	decisions, err := s.cluster.Place(s.now(), given)
	if err != nil {
		return nil, nil, invalid(err)
	}
	s.tell(decisions[1:])
	s.arm()
	d := decisions[0]
	have := &replica{Replica: r.GetReplica(), by: r.GetNodeId()}
	if d.Outcome == router.Refused {
		s.recordRefused(have, given)
		reason := s.inWords().Replace(d.Reason)
		return nil, &entroosv1.PlaceResponse{Answer: &entroosv1.PlaceResponse_Refused{Refused: &entroosv1.PlaceRefused{Reason: reason}}}, nil
	}
	s.replicas[given.ID] = have
	s.record(given.ID)
	if d.Outcome == router.Placed {
		return nil, placedAnswer(d), nil
	}
	have.placed = make(chan router.Decision, 1)
	reason := s.inWords().Replace(d.Reason)
	return have.placed, &entroosv1.PlaceResponse{Answer: &entroosv1.PlaceResponse_Queued{Queued: &entroosv1.PlaceQueued{Reason: reason}}}, nil
}

func placedAnswer(d router.Decision) *entroosv1.PlaceResponse {
	return &entroosv1.PlaceResponse{Answer: &entroosv1.PlaceResponse_Placed{Placed: &entroosv1.PlacePlaced{NodeId: d.Node, Score: d.Score}}}
}

// Release implements RouterServiceHandler.
func (s *Service) Release(_ context.Context, r *connect.Request[entroosv1.ReleaseRequest]) (*connect.Response[entroosv1.ReleaseResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range r.Msg.GetLeases() {
		s.giveBack(l.GetReplicaId(), l.GetLease())
	}
	return connect.NewResponse(new(entroosv1.ReleaseResponse)), nil
}

// giveBack releases a replica unless it has been asked for again since.
func (s *Service) giveBack(id string, lease uint64) {
	if have := s.replicas[id]; have != nil && have.GetLease() == lease {
		s.release(id)
	}
}

// release forgets a replica, if it is there, and places those who waited for
// its room.
func (s *Service) release(id string) {
	if !s.drop(id) {
		return
	}
	placed, err := s.cluster.Release(s.now(), id)
	if err != nil { // both know the same replicas
		s.logger.Error("release", "replica", id, "error", err)
	}
	s.tell(placed)
	s.arm()
}

// arm has the cluster told of the time when the next node that is kept free is
// open again.
func (s *Service) arm() {
	if s.lapse != nil {
		s.lapse.Stop()
		s.lapse = nil
	}
	if at, ok := s.cluster.NextLapse(); ok {
		s.lapse = time.AfterFunc(max(0, at.Sub(s.now())), s.elapse)
	}
}

// elapse tells the cluster of the time.
func (s *Service) elapse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(s.cluster.Advance(s.now()))
	s.arm()
}

// drop forgets a replica that the cluster forgets too, and says whether it was
// there. Who waits for its place waits no longer.
func (s *Service) drop(id string) bool {
	have := s.replicas[id]
	if have == nil {
		return false
	}
	delete(s.replicas, id)
	if have.placed != nil {
		close(have.placed)
	}
	return true
}

// tell tells those who wait that they are placed.
func (s *Service) tell(placed []router.Decision) {
	for _, d := range placed {
		have := s.replicas[d.Replica]
		if have == nil || have.placed == nil {
			s.logger.Error("a replica was placed for which nobody waits", "replica", d.Replica)
			continue
		}
		have.placed <- d // the only one; there is room
		have.placed = nil
		s.record(d.Replica)
	}
}

// inWords puts names where the router has ids.
func (s *Service) inWords() *strings.Replacer {
	var pairs []string
	for id, n := range s.nodes {
		if n.GetHostname() != "" {
			pairs = append(pairs, id, n.GetHostname())
		}
	}
	for id, r := range s.replicas {
		if r.GetName() != "" {
			pairs = append(pairs, id, r.GetName())
		}
	}
	return strings.NewReplacer(pairs...)
}

func invalid(err error) error { return connect.NewError(connect.CodeInvalidArgument, err) }

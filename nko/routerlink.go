package nko

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
)

const (
	// routerPatience is how long a container waits for a routerd that does not
	// answer; then it starts without.
	routerPatience = 2 * time.Second
	// factsInterval is the time between two looks at what the node is.
	factsInterval = 30 * time.Second
	// entropyStep is the least change of E_n that routerd is told of.
	entropyStep = 0.01
	// mostFailures is how often routerd is asked that answers, but not with a
	// place.
	mostFailures = 3
	// While routerd is away it is looked for often at first: it is on its way.
	redialSoon = 50 * time.Millisecond
)

// redialBackoff spaces the attempts to reach a routerd that stays away.
var redialBackoff = Backoff{Initial: 200 * time.Millisecond, Max: 5 * time.Second, Jitter: 0.2}

// NodeFacts is what routerd is told of the node.
type NodeFacts struct {
	Node *entroosv1.RouterNode
	// Target is T, the share of the CPU to aim at.
	Target float64
}

// RouterLink asks routerd for containers' places, and keeps it told what the
// node is and runs: all of it at the beginning of each connection, since routerd
// keeps nothing when it ends. While it does not answer, containers start without
// it, and are counted when it is back.
//
// A connection that ends is noticed by its end: nothing is polled.
type RouterLink struct {
	id        string // the node's
	facts     func() NodeFacts
	logger    *slog.Logger
	transport *http.Transport
	service   entroosv1connect.RouterServiceClient
	patience  time.Duration
	wake      chan struct{} // there is something to tell

	mu       sync.Mutex
	session  *session      // the connection under way, from its first call on; or nil
	up       chan struct{} // closed while routerd answers
	away     time.Time     // since when it does not
	asked    time.Time     // the first container
	leases   uint64        // handed out
	sessions uint64        // begun
	held     map[string]*held
	released []*entroosv1.Lease // not told yet
	told     NodeFacts          // last
}

// session is one connection, during which routerd forgets nothing.
type session struct {
	number uint64
	ctx    context.Context // ends with it
	end    context.CancelFunc
}

// held is what is committed to a replica on this node.
type held struct {
	replica *entroosv1.Replica
	told    uint64 // the session in which routerd came to know
}

var _ Placer = (*RouterLink)(nil)

// NewRouterLink makes a link to the routerd that listens on the unix socket.
// facts says what the node of that id is; it is called now and then.
func NewRouterLink(socket, id string, facts func() NodeFacts, logger *slog.Logger) *RouterLink {
	l := &RouterLink{
		id: id, facts: facts, logger: logger, patience: routerPatience,
		wake: make(chan struct{}, 1), up: make(chan struct{}), away: time.Now(), held: make(map[string]*held),
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	l.transport = &http.Transport{
		Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "unix", socket)
			if err != nil {
				return nil, err
			}
			return &watchedConn{Conn: c, ended: l.lost}, nil
		},
	}
	l.service = entroosv1connect.NewRouterServiceClient(&http.Client{Transport: l.transport}, "http://routerd")
	return l
}

// Service is routerd's service as it is in the API.
func (l *RouterLink) Service() entroosv1connect.RouterServiceClient { return l.service }

// watchedConn tells when the other side has gone.
type watchedConn struct {
	net.Conn
	ended func()
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.ended()
	}
	return n, err
}

// Away says whether routerd answers, and if not, since when.
func (l *RouterLink) Away() (since time.Time, answers bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.away, l.answers()
}

// Check asks whether routerd answers. When it is there and says nothing, those
// who wait for it wait no longer.
func (l *RouterLink) Check(ctx context.Context) error {
	_, err := l.service.RouterStatus(ctx, connect.NewRequest(&entroosv1.RouterStatusRequest{Brief: true}))
	if connect.CodeOf(err) == connect.CodeDeadlineExceeded {
		l.lost()
	}
	return err
}

// answers says that the session is complete. l.mu is held.
func (l *RouterLink) answers() bool {
	select {
	case <-l.up:
		return true
	default:
		return false
	}
}

// Refresh says that the node may be another than routerd was told.
func (l *RouterLink) Refresh() {
	select {
	case l.wake <- struct{}{}:
	default: // it will look
	}
}

// Serve keeps routerd told until ctx ends.
func (l *RouterLink) Serve(ctx context.Context) error {
	defer l.transport.CloseIdleConnections()
	for attempt := 0; ; {
		s := l.begin(ctx)
		err := l.sync(s)
		if err == nil {
			attempt = 0
			err = l.keep(s)
		}
		l.end(s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		delay := redialSoon
		if since, _ := l.Away(); time.Since(since) > l.patience {
			delay = redialBackoff.Delay(attempt)
			if attempt == 0 {
				l.logger.Warn("routerd does not answer: containers start without it", "error", err)
			}
			attempt++
		}
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// lost says that a connection is gone, and with it the session under way: where
// it was another's, that costs one more session.
func (l *RouterLink) lost() {
	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	if s != nil {
		l.end(s)
	}
}

// begin starts a session: from here on what is committed is told in it.
func (l *RouterLink) begin(ctx context.Context) *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions++
	s := &session{number: l.sessions}
	s.ctx, s.end = context.WithCancel(ctx)
	l.session = s
	return s
}

// end ends a session.
func (l *RouterLink) end(s *session) {
	s.end()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != s {
		return
	}
	l.session = nil
	if l.answers() {
		l.up, l.away = make(chan struct{}), time.Now()
	}
}

// sync tells routerd all, at the beginning of a session.
func (l *RouterLink) sync(s *session) error {
	facts := l.facts()
	l.mu.Lock()
	request := &entroosv1.SyncRequest{Node: facts.Node, Target: facts.Target, Complete: true}
	for _, id := range slices.Sorted(maps.Keys(l.held)) {
		l.held[id].told = s.number
		request.Replicas = append(request.Replicas, l.held[id].replica)
	}
	l.released = nil // they are not among those
	l.mu.Unlock()
	if err := l.tell(s, request); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != s {
		return errLost
	}
	l.told = facts
	close(l.up)
	return nil
}

var errLost = errors.New("routerd has gone")

// tell sends one Sync.
func (l *RouterLink) tell(s *session, request *entroosv1.SyncRequest) error {
	ctx, cancel := context.WithTimeout(s.ctx, l.patience)
	defer cancel()
	_, err := l.service.Sync(ctx, connect.NewRequest(request))
	return err
}

// keep tells routerd what changes, until the session ends.
func (l *RouterLink) keep(s *session) error {
	tick := time.NewTicker(factsInterval)
	defer tick.Stop()
	for {
		if err := l.tellChanges(s); err != nil {
			return err
		}
		select {
		case <-s.ctx.Done():
			return errLost
		case <-l.wake:
		case <-tick.C:
		}
	}
}

// tellChanges tells what routerd does not know.
func (l *RouterLink) tellChanges(s *session) error {
	facts := l.facts()
	l.mu.Lock()
	request := &entroosv1.SyncRequest{Node: facts.Node, Target: facts.Target}
	changed := !facts.like(l.told)
	for _, id := range slices.Sorted(maps.Keys(l.held)) {
		if h := l.held[id]; h.told != s.number {
			h.told, changed = s.number, true
			request.Replicas = append(request.Replicas, h.replica)
		}
	}
	released := slices.Clone(l.released)
	l.mu.Unlock()
	if changed {
		if err := l.tell(s, request); err != nil {
			return err
		}
		l.mu.Lock()
		l.told = facts
		l.mu.Unlock()
	}
	if len(released) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, l.patience)
	defer cancel()
	_, err := l.service.Release(ctx, connect.NewRequest(&entroosv1.ReleaseRequest{NodeId: l.id, Leases: released}))
	if err != nil {
		return err
	}
	l.forget(released)
	return nil
}

// forget drops releases that routerd knows of.
func (l *RouterLink) forget(released []*entroosv1.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released = slices.DeleteFunc(l.released, func(r *entroosv1.Lease) bool { return slices.Contains(released, r) })
}

// like says that the difference is not worth telling.
func (f NodeFacts) like(told NodeFacts) bool {
	if f.Target != told.Target || math.Abs(f.Node.GetEntropy()-told.Node.GetEntropy()) > entropyStep {
		return false
	}
	if told.Node == nil {
		return false
	}
	same := proto.CloneOf(f.Node)
	same.Entropy = told.Node.GetEntropy()
	return proto.Equal(same, told.Node)
}

// Release implements Placer.
func (l *RouterLink) Release(id string) {
	l.mu.Lock()
	h := l.held[id]
	if h != nil {
		delete(l.held, id)
		l.released = append(l.released, &entroosv1.Lease{ReplicaId: id, Lease: h.replica.GetLease()})
	}
	l.mu.Unlock()
	if h != nil {
		l.Refresh()
	}
}

// Place implements Placer.
func (l *RouterLink) Place(ctx context.Context, r *entroosv1.Replica, queued func(reason string)) error {
	r = proto.CloneOf(r)
	l.mu.Lock()
	l.leases++
	r.Lease = l.leases
	asked := time.Now()
	if l.asked.IsZero() {
		l.asked = asked
	}
	l.mu.Unlock()
	for failures := 0; ; {
		s, err := l.await(ctx)
		if err != nil {
			return err
		}
		if s == nil || failures == mostFailures {
			l.logger.Warn("container starts without routerd", "container", r.GetName())
			l.hold(r, nil)
			return nil
		}
		answered, err := l.ask(ctx, s, r, time.Since(asked), queued)
		switch {
		case err == nil:
			l.hold(r, s)
			return nil
		case ctx.Err() != nil || errors.Is(err, ErrRefused):
			l.abandon(r)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		if !answered {
			failures++
			l.logger.Warn("routerd gives no place", "container", r.GetName(), "error", err)
		}
		l.end(s) // and once more in the next
	}
}

// await gives the session in which routerd answers, or nil when it has been away
// for so long that there is no waiting for it.
func (l *RouterLink) await(ctx context.Context) (*session, error) {
	l.mu.Lock()
	up, s, answers, since := l.up, l.session, l.answers(), l.away
	if since.Before(l.asked) { // it is on its way since the box's start
		since = l.asked
	}
	l.mu.Unlock()
	if answers {
		return s, nil
	}
	timer := time.NewTimer(time.Until(since.Add(l.patience)))
	defer timer.Stop()
	select {
	case <-up:
		return l.await(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, nil
	}
}

// ask asks routerd for a place, and waits while the replica is queued. answered
// says that routerd has said something.
func (l *RouterLink) ask(ctx context.Context, s *session, r *entroosv1.Replica, waited time.Duration, queued func(string)) (answered bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, Guard("end of a session with routerd", cancel))()
	l.mu.Lock()
	told, released := l.told, slices.Clone(l.released)
	l.mu.Unlock()
	// It is to decide on the node as it is now.
	if facts := l.facts(); !facts.like(told) {
		if err := l.tell(s, &entroosv1.SyncRequest{Node: facts.Node, Target: facts.Target}); err != nil {
			return false, err
		}
		l.mu.Lock()
		l.told = facts
		l.mu.Unlock()
	}
	// A routerd that says nothing is one that is away.
	silent := time.AfterFunc(l.patience, Guard("routerd's silence", cancel))
	defer silent.Stop()
	stream, err := l.service.Place(ctx, connect.NewRequest(&entroosv1.PlaceRequest{
		NodeId: l.id, Replica: r, WaitedMillis: uint64(waited.Milliseconds()), Released: released,
	}))
	if err != nil {
		return false, err
	}
	defer stream.Close()
	for stream.Receive() {
		if silent.Stop(); !answered {
			l.forget(released)
		}
		answered = true
		switch answer := stream.Msg().GetAnswer().(type) {
		case *entroosv1.PlaceResponse_Queued:
			queued(answer.Queued.GetReason())
		case *entroosv1.PlaceResponse_Placed:
			if answer.Placed.GetNodeId() != l.id {
				return true, fmt.Errorf("%w: it was given to node %s, which is another", ErrRefused, answer.Placed.GetNodeId())
			}
			return true, nil
		case *entroosv1.PlaceResponse_Refused:
			return true, fmt.Errorf("%w: %s", ErrRefused, answer.Refused.GetReason())
		}
	}
	if err := stream.Err(); err != nil {
		if connect.CodeOf(err) == connect.CodeInvalidArgument {
			return true, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return answered, err
	}
	return answered, errors.New("routerd ended its answer without a word")
}

// hold notes what is committed to a replica, and the session in which it was.
func (l *RouterLink) hold(r *entroosv1.Replica, s *session) {
	l.mu.Lock()
	h := &held{replica: r}
	if s != nil {
		h.told = s.number
	}
	l.held[r.GetId()] = h
	tell := l.session != nil && h.told != l.session.number
	l.mu.Unlock()
	if tell {
		l.Refresh()
	}
}

// abandon takes back what may have been committed while nobody listened.
func (l *RouterLink) abandon(r *entroosv1.Replica) {
	l.mu.Lock()
	l.released = append(l.released, &entroosv1.Lease{ReplicaId: r.GetId(), Lease: r.GetLease()})
	l.mu.Unlock()
	l.Refresh()
}

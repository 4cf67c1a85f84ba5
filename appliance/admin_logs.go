package appliance

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/morphzip/store"
	"github.com/entroos/entroos/nko"
)

// Logs implements AdminService.
func (a *adminServer) Logs(ctx context.Context, r *connect.Request[entroosv1.LogsRequest], stream *connect.ServerStream[entroosv1.LogsResponse]) error {
	if name := r.Msg.GetService(); name != "" {
		return a.serviceLogs(ctx, name, r.Msg, stream)
	}
	w, engine, err := a.workloads()
	if err != nil {
		return err
	}
	c, err := w.Get(r.Msg.GetContainer())
	if err != nil {
		return apiError(err)
	}
	query, err := logQuery(r.Msg, time.Now())
	if err != nil {
		return err
	}
	return apiError(engine.Logs(ctx, c.GetId(), query, sendLog(stream)))
}

// serviceLogs is Logs of a service. Of one that the settings have named once and
// name no more, it gives what is kept.
func (a *adminServer) serviceLogs(ctx context.Context, name string, r *entroosv1.LogsRequest, stream *connect.ServerStream[entroosv1.LogsResponse]) error {
	query, err := logQuery(r, time.Now())
	if err != nil {
		return err
	}
	if name == initService {
		return apiError(a.box.Log.Read(ctx, query, sendLog(stream)))
	}
	if s := a.box.Supervisor.Service(name); s != nil {
		return apiError(s.Log().Read(ctx, query, sendLog(stream)))
	}
	kept, err := a.box.keepsLog(nko.ServiceStream(name))
	if err != nil {
		return apiError(err)
	}
	if !kept {
		_, err := a.service(name)
		return err
	}
	query.Follow = false
	return apiError(a.box.Logs.Read(ctx, nko.ServiceStream(name), query, sendLog(stream)))
}

// keepsLog says whether there is a stream of that name.
func (b *Box) keepsLog(stream string) (bool, error) {
	if b.Logs == nil {
		return false, nil
	}
	streams, err := b.Logs.Streams()
	for _, s := range streams {
		if s.Name == stream {
			return true, nil
		}
	}
	return false, err
}

// sendLog gives what sends entries to a client. What the box itself has to say in
// a log goes where errors go.
func sendLog(stream *connect.ServerStream[entroosv1.LogsResponse]) func(store.Entry) error {
	return func(e store.Entry) error {
		kind := entroosv1.LogsResponse_STREAM_STDERR
		if e.Kind == store.Stdout {
			kind = entroosv1.LogsResponse_STREAM_STDOUT
		}
		return stream.Send(&entroosv1.LogsResponse{Stream: kind, TimeUnixNano: e.Time.UnixNano(), Data: e.Data})
	}
}

// logQuery makes a query of a request that came at a time.
func logQuery(r *entroosv1.LogsRequest, now time.Time) (store.Query, error) {
	q := store.Query{
		Tail: r.GetTail(), Follow: r.GetFollow(),
		Since: logTime(r.GetSince(), now), Until: logTime(r.GetUntil(), now),
	}
	if q.Follow && !q.Until.IsZero() {
		return q, connect.NewError(connect.CodeInvalidArgument, errors.New("what follows has no end: either follow, or until"))
	}
	g := r.GetGrep()
	if g == nil {
		return q, nil
	}
	q.Grep = &store.Grep{Pattern: g.GetExpression(), Expression: !g.GetFixed(), Invert: g.GetInvert()}
	if q.Grep.Expression {
		if _, err := regexp.Compile(q.Grep.Pattern); err != nil {
			return q, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("expression: %w", err))
		}
	}
	return q, nil
}

// logTime is the moment that is meant, or the zero time for none.
func logTime(t *entroosv1.LogTime, now time.Time) time.Time {
	switch at := t.GetTime().(type) {
	case *entroosv1.LogTime_UnixNano:
		return time.Unix(0, at.UnixNano)
	case *entroosv1.LogTime_AgoNanos:
		return now.Add(-time.Duration(at.AgoNanos))
	}
	return time.Time{}
}

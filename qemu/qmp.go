package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// QMP is QEMU's machine protocol: one JSON object a line, over a socket.
type QMP struct {
	conn    net.Conn
	replies chan qmpMessage // closed when the socket has ended
	done    chan struct{}

	mu    sync.Mutex // one command at a time
	ready bool       // capabilities are negotiated
	id    int        // of the last command
}

// qmpMessage is a greeting, an event, or a command's reply.
type qmpMessage struct {
	Greeting json.RawMessage `json:"QMP"`
	Event    string          `json:"event"`
	ID       int             `json:"id"`
	Return   json.RawMessage `json:"return"`
	Error    *qmpError       `json:"error"`
}

type qmpError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func newQMP(conn net.Conn) *QMP {
	if conn == nil {
		return nil // the socket's error is reported by its maker
	}
	q := &QMP{conn: conn, replies: make(chan qmpMessage, 1), done: make(chan struct{})}
	go q.read()
	return q
}

// read passes replies on and drops greeting and events.
func (q *QMP) read() {
	defer close(q.done)
	defer close(q.replies)
	dec := json.NewDecoder(q.conn)
	for {
		var m qmpMessage
		if err := dec.Decode(&m); err != nil {
			return
		}
		if m.Greeting != nil || m.Event != "" {
			continue
		}
		// Commands are one at a time: what is still in the buffer is the reply
		// of a cancelled one.
		select {
		case <-q.replies:
		default:
		}
		q.replies <- m
	}
}

func (q *QMP) end(deadline time.Time) {
	_ = q.conn.SetReadDeadline(deadline)
	<-q.done
	q.conn.Close()
}

// execute runs one QMP command; result may be nil.
func (q *QMP) execute(ctx context.Context, command string, arguments, result any) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.ready {
		if _, err := q.roundTrip(ctx, "qmp_capabilities", nil); err != nil {
			return err
		}
		q.ready = true
	}
	reply, err := q.roundTrip(ctx, command, arguments)
	if err != nil {
		return err
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(reply, result)
}

var errQMPEnded = errors.New("QEMU has closed its control socket")

func (q *QMP) roundTrip(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	q.id++
	line, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        int    `json:"id"`
	}{command, arguments, q.id})
	if err != nil {
		return nil, err
	}
	if _, err := q.conn.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	for {
		select {
		case m, ok := <-q.replies:
			switch {
			case !ok:
				return nil, errQMPEnded
			case m.ID != q.id:
				continue
			case m.Error != nil:
				return nil, fmt.Errorf("%s: %s", m.Error.Class, m.Error.Desc)
			}
			return m.Return, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// QMP runs a command of QEMU's machine protocol, for what this package has no
// method: send-key, screendump, device_del, set_link. Arguments and result are
// anything that encoding/json takes, or nil.
func (vm *VM) QMP(ctx context.Context, command string, arguments, result any) error {
	r, err := vm.current()
	if err != nil {
		return err
	}
	if err := r.qmp.execute(ctx, command, arguments, result); err != nil {
		return r.failure(fmt.Errorf("qmp %s: %w", command, err))
	}
	return nil
}

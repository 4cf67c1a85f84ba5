package appliance

import (
	"io"
	"sync"
)

// maxQueuedInput bounds the input that a process has not read, in bytes; a
// client that sends more waits.
const maxQueuedInput = 1 << 20

// inputQueue is a process's standard input as it comes from a client. It is
// longer than a pipe, so that a signal behind unread input still arrives.
type inputQueue struct {
	mu      sync.Mutex
	changed sync.Cond
	data    []byte
	ended   bool // no more will come
	closed  bool // nobody will read any more
}

func newInputQueue() *inputQueue {
	q := new(inputQueue)
	q.changed.L = &q.mu
	return q
}

// put queues data; it waits while the queue is full. After end or close it is
// dropped.
func (q *inputQueue) put(data []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.data) > maxQueuedInput && !q.closed && !q.ended {
		q.changed.Wait()
	}
	if q.closed || q.ended {
		return
	}
	q.data = append(q.data, data...)
	q.changed.Broadcast()
}

// end lets the reader see the end of input after what is queued.
func (q *inputQueue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.changed.Broadcast()
}

// close ends input at once, and frees who waits in put or Read.
func (q *inputQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.ended, q.data = true, true, nil
	q.changed.Broadcast()
}

// Read implements io.Reader.
func (q *inputQueue) Read(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.data) == 0 {
		if q.ended || q.closed {
			return 0, io.EOF
		}
		q.changed.Wait()
	}
	n := copy(p, q.data)
	q.data = q.data[n:]
	q.changed.Broadcast()
	return n, nil
}

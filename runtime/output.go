package runtime

import (
	"context"
	"errors"
	"hash"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/morphzip/store"
	"github.com/entroos/entroos/runtime/rate"
)

// output takes what a process writes to one stream: digests it, logs it, and
// passes it to who is attached, in this order.
type output struct {
	source   io.ReadCloser
	stream   uint8 // store.Stdout or store.Stderr
	digest   hash.Hash
	log      *store.Appender // nil is none
	attached *attachment     // nil is none
	// bucket slows down a process that floods its log, seen is told what it has
	// written; nil is neither.
	bucket *rate.Bucket
	seen   func(data []byte)

	bytes   uint64        // how many came
	reads   atomic.Uint64 // to see whether it goes on
	readErr error
	logErr  error // the first
	lost    int   // how many bytes were not logged
	done    chan struct{}
}

func newOutput(source io.ReadCloser, stream uint8, log *store.Appender, attached *attachment) *output {
	return &output{
		source: source, stream: stream, digest: equations.NewOutputDigest(), log: log, attached: attached, done: make(chan struct{}),
	}
}

// What a container writes is logged at this rate at most, in bytes a second, with
// so much at once (equation 69). A flood is slowed down, and nothing is dropped.
const (
	outputRate  = 64 << 20
	outputBurst = 64 << 20
)

// outputBuffer is how much is read at once.
const outputBuffer = 32 << 10

// run reads until the stream's end. Then all has been digested, logged, and
// written to who is attached.
func (o *output) run() {
	defer close(o.done)
	buffer := make([]byte, outputBuffer)
	for {
		n, err := o.source.Read(buffer)
		if n > 0 {
			o.reads.Add(1)
			o.take(buffer[:n])
			if o.bucket != nil {
				// What is not read stays in the pipe, and who fills it waits.
				_ = o.bucket.Wait(context.Background(), n) // fails with its context alone
			}
		}
		if err != nil {
			// A terminal whose other side is gone gives EIO.
			if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EIO) && !errors.Is(err, fs.ErrClosed) {
				o.readErr = err
			}
			break
		}
	}
	if o.attached != nil {
		o.attached.finish()
	}
}

func (o *output) take(data []byte) {
	o.digest.Write(data)
	o.bytes += uint64(len(data))
	if o.seen != nil {
		o.seen(data)
	}
	if o.log != nil {
		if err := o.log.Write(time.Now(), o.stream, data); err != nil {
			// What comes next may be logged again: disks fill up, and are
			// cleared.
			o.lost += len(data)
			if o.logErr == nil {
				o.logErr = err
			}
		}
	}
	if o.attached != nil {
		o.attached.send(data)
	}
}

func (o *output) sum() (digest [32]byte) {
	o.digest.Sum(digest[:0])
	return digest
}

// progress changes as long as data moves.
func (o *output) progress() uint64 {
	n := o.reads.Load()
	if o.attached != nil {
		n += o.attached.writes.Load()
	}
	return n
}

// attachment passes output to a client. A slow one slows the process down; one
// that fails is dropped.
type attachment struct {
	w      io.Writer
	queue  chan []byte
	writes atomic.Uint64
	once   sync.Once
	gone   chan struct{} // closed when it is dropped
	done   chan struct{} // closed when all was written or dropped
}

func newAttachment(w io.Writer) *attachment {
	return &attachment{w: w, queue: make(chan []byte, 16), gone: make(chan struct{}), done: make(chan struct{})}
}

func (a *attachment) run() {
	defer close(a.done)
	for data := range a.queue {
		select {
		case <-a.gone:
			continue
		default:
		}
		if _, err := a.w.Write(data); err != nil {
			a.drop()
		}
		a.writes.Add(1)
	}
}

func (a *attachment) drop() { a.once.Do(func() { close(a.gone) }) }

// send queues a copy of data.
func (a *attachment) send(data []byte) {
	select {
	case <-a.gone:
	case a.queue <- append([]byte(nil), data...):
	}
}

// finish returns when all that was sent is written, or the client is dropped.
func (a *attachment) finish() {
	close(a.queue)
	select {
	case <-a.gone:
	case <-a.done:
	}
}

// drainTime is how long, after the process's end, output may stand still
// before it is given up: either a client does not take it, or a process
// outside of the container holds the stream.
const drainTime = 10 * time.Second

// drain waits until the outputs have ended, after the process has. Where
// nothing moves for as long as patience, first the client is dropped, and then
// the stream closed. It says whether all that was written was taken.
func drain(outputs []*output, patience time.Duration) (complete bool) {
	complete = true
	for _, o := range outputs {
		if o.ends(patience) {
			continue
		}
		if o.attached != nil {
			o.attached.drop()
			if o.ends(patience) {
				continue
			}
		}
		complete = false
		o.source.Close() // makes the read that is under way fail
		<-o.done
	}
	return complete
}

// ends waits for the output's end, as long as data moves.
func (o *output) ends(patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for last := o.progress(); ; {
		select {
		case <-o.done:
			return true
		case <-timer.C:
			now := o.progress()
			if now == last {
				return false
			}
			last = now
			timer.Reset(patience)
		}
	}
}

// Buckets tells the last fillings of the token buckets of containers' logs.
func (r *Runtime) Buckets() []equations.BucketFacts {
	r.mu.Lock()
	defer r.mu.Unlock()
	var facts []equations.BucketFacts
	for id, c := range r.containers {
		if c != nil && c.bucket != nil {
			facts = append(facts, c.bucket.Facts(id))
		}
	}
	return facts
}

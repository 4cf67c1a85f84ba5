package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"sync"
	"time"
)

// Serial is the machine's serial console of one run: everything that it
// printed, and the place up to which Expect has read.
type Serial struct {
	conn net.Conn
	log  io.Writer
	done chan struct{} // closed when the output has ended

	mu      sync.Mutex
	output  []byte
	next    int           // Expect searches from here
	changed chan struct{} // closed and replaced when output grows
}

// newSerial reads conn until it ends.
func newSerial(conn net.Conn, log io.Writer) *Serial {
	if conn == nil {
		return nil // the socket's error is reported by its maker
	}
	s := &Serial{conn: conn, log: log, done: make(chan struct{}), changed: make(chan struct{})}
	go s.read()
	return s
}

func (s *Serial) read() {
	defer close(s.done)
	buf := make([]byte, 16<<10)
	for {
		n, err := s.conn.Read(buf)
		if n > 0 {
			s.mu.Lock()
			s.output = append(s.output, buf[:n]...)
			close(s.changed)
			s.changed = make(chan struct{})
			s.mu.Unlock()
			if s.log != nil {
				// The log is a courtesy; the transcript has everything.
				_, _ = s.log.Write(buf[:n])
			}
		}
		if err != nil {
			return
		}
	}
}

// end waits for the output's end, at most until the deadline, and closes.
func (s *Serial) end(deadline time.Time) {
	_ = s.conn.SetReadDeadline(deadline)
	<-s.done
	s.conn.Close()
}

var errSerialEnded = errors.New("the serial console has ended")

// expect returns the match of re, and its submatches, in what came after the
// previous match.
func (s *Serial) expect(ctx context.Context, re *regexp.Regexp) ([]string, error) {
	for {
		s.mu.Lock()
		rest := s.output[s.next:]
		if loc := re.FindSubmatchIndex(rest); loc != nil {
			match := make([]string, len(loc)/2)
			for i := range match {
				if loc[2*i] >= 0 {
					match[i] = string(rest[loc[2*i]:loc[2*i+1]])
				}
			}
			s.next += loc[1]
			s.mu.Unlock()
			return match, nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-s.done:
			select {
			case <-changed: // came with the end
			default:
				return nil, errSerialEnded
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Serial) transcript() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.output)
}

// controls are a terminal's escape sequences and the other control characters
// that would garble a failure message.
var controls = regexp.MustCompile(`\x1b\[[0-9;?=]*[ -/]*[@-~]|\x1b[@-Z\\^_]|[\x00-\x08\x0b-\x1f\x7f]`)

// tail is the readable end of the transcript, at most n bytes of it.
func (s *Serial) tail(n int) []byte {
	t := s.transcript()
	if len(t) > n {
		t = t[len(t)-n:]
	}
	return controls.ReplaceAll(t, nil)
}

// Expect waits until the serial console has printed something that matches re
// after the previous Expect's match, and returns the match and its submatches.
// Its error tells the end of the transcript.
func (vm *VM) Expect(ctx context.Context, re *regexp.Regexp) ([]string, error) {
	r, s, err := vm.serial()
	if err != nil {
		return nil, err
	}
	match, err := s.expect(ctx, re)
	if err != nil {
		if errors.Is(err, errSerialEnded) { // QEMU ends: say how
			select {
			case <-r.done:
			case <-ctx.Done():
			}
		}
		return nil, r.failure(fmt.Errorf("expecting %q on the serial console: %w", re, err))
	}
	return match, nil
}

// Send types text on the serial console. A line ends with "\r", as Enter does.
func (vm *VM) Send(text string) error {
	r, s, err := vm.serial()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(s.conn, text); err != nil {
		return r.failure(fmt.Errorf("typing on the serial console: %w", err))
	}
	return nil
}

// Transcript is all that the serial console printed since the last Start.
func (vm *VM) Transcript() []byte {
	_, s, err := vm.serial()
	if err != nil {
		return nil
	}
	return s.transcript()
}

func (vm *VM) serial() (*run, *Serial, error) {
	r, err := vm.current()
	if err != nil {
		return nil, nil, err
	}
	if r.serial == nil {
		return nil, nil, errors.New("qemu: the serial console is the terminal's")
	}
	return r, r.serial, nil
}

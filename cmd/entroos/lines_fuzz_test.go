package main

import (
	"bytes"
	"context"
	"os"
	"testing"
)

// FuzzLineRequests sends anything to the console for programs, whose commands
// are not run: each line is a request, or one that is answered as bad.
func FuzzLineRequests(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "{}\n", `{"args":["status"],"stdin":"aGk="}` + "\n", `{"cancel":true}` + "\n", "{\"args\":[null,1]}\n\xff\n", `{"args":["ps"]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, sender, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		receiver, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer receiver.Close()
		defer out.Close() // the greeting fits into it
		lines := bytes.Count(raw, []byte("\n"))
		cancelled := 0
		s := &lineServer{in: in, out: out, requests: make(chan lineRequest, lines+1)}
		s.cancel = context.CancelFunc(func() { cancelled++ })
		go func() {
			defer sender.Close()
			_, _ = sender.Write(raw) // what is not read does not matter
		}()
		if err := s.read(); err != nil {
			t.Fatal(err)
		}
		if len(s.requests)+cancelled != lines {
			t.Fatalf("%d requests and %d cancelled of %d lines", len(s.requests), cancelled, lines)
		}
	})
}

package nko

import (
	"context"
	"io"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/runtime/rate"
)

// A service may log at this rate, in bytes a second, with so much at once
// (equation 69). One that floods its log is slowed down, and loses no line by it.
const (
	serviceLogRate  = 1 << 20
	serviceLogBurst = 4 << 20
)

// slowWriter takes no more than its bucket lets pass: who writes waits.
type slowWriter struct {
	io.Writer
	bucket *rate.Bucket
}

func (w slowWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err == nil {
		err = w.bucket.Wait(context.Background(), n)
	}
	return n, err
}

// Buckets tells the last fillings of the services' token buckets.
func (s *Supervisor) Buckets() []equations.BucketFacts {
	var facts []equations.BucketFacts
	for _, service := range s.Services() {
		if service.spec.Process != nil {
			facts = append(facts, service.bucket.Facts("log of service "+service.spec.Name))
		}
	}
	return facts
}

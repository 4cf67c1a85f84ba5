package router

import (
	"time"

	"github.com/entroos/entroos/equations"
)

// A Cycle is a time in which the queue was in use, from the instant at which it
// ceased to be empty to that at which it was empty again, with the facts of
// Little's law (equation 36). LengthSeconds comes from integrating the queue's
// length over time, WaitSeconds from adding up the waits one by one; neither
// knows of the other.
type Cycle struct {
	Began, Ended  time.Time
	Arrivals      uint64
	WaitSeconds   float64 // sum of the waits
	LengthSeconds float64 // integral of the length over time
}

// Length returns L, the mean number of replicas that waited. It is 0 for the
// zero Cycle, and so are the others.
func (c Cycle) Length() float64 { return over(c.LengthSeconds, c.Ended.Sub(c.Began).Seconds()) }

// Rate returns λ, arrivals a second.
func (c Cycle) Rate() float64 { return over(float64(c.Arrivals), c.Ended.Sub(c.Began).Seconds()) }

// Sojourn returns W, the mean wait.
func (c Cycle) Sojourn() time.Duration {
	return time.Duration(over(c.WaitSeconds, float64(c.Arrivals)) * float64(time.Second))
}

// Law returns λ·W (equation 36), which Length equals.
func (c Cycle) Law() float64 { return equations.LittlesLaw(c.Rate(), c.Sojourn()) }

func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// cycle counts the current Cycle, and keeps the last one that took any time.
type cycle struct {
	Cycle
	last Cycle
}

func (c *cycle) enter(now time.Time, before int) {
	if before == 0 {
		c.Cycle = Cycle{Began: now}
	}
	c.Arrivals++
}

func (c *cycle) elapse(from, to time.Time, length int) {
	if length > 0 {
		c.LengthSeconds += float64(float64(length) * to.Sub(from).Seconds())
	}
}

func (c *cycle) leave(now time.Time, wait time.Duration, after int) {
	c.WaitSeconds += wait.Seconds()
	if after == 0 && now.After(c.Began) {
		c.Ended = now
		c.last = c.Cycle
	}
}

package router

import (
	"fmt"
	"slices"
	"time"

	"github.com/entroos/entroos/equations"
)

// A Replica is one container that wants to run somewhere.
type Replica struct {
	// ID names the replica among all that run or wait.
	ID string
	// Entropy is E_c (equation 9), in [0,1]. Below MinEntropy it counts as that.
	Entropy float64
	// CPU is what is committed to it, in thousandths of a core, and Memory in
	// bytes. Both may be 0.
	CPU, Memory int64
	// Weight is its share of the CPU beside others, as docker's: 0 means
	// DefaultWeight.
	Weight int64
	// Ports are the node's ports that it listens on.
	Ports []HostPort
	// Constraints must all hold of its node.
	Constraints []Constraint
	// Waited is how long it has waited for a place before, under a router that
	// ended meanwhile; it counts as age. It is at most a year.
	Waited time.Duration
}

const maxWaited = 365 * 24 * time.Hour

// UnknownEntropy is what E_c counts as where an image is not measured: it has
// half of a head start in the queue.
const UnknownEntropy = 0.5

// DefaultWeight is the weight of a replica that states none.
const DefaultWeight = 100

// MaxWeight is the largest weight, the kernel's for cpu.weight.
const MaxWeight = 10000

// Validate says what is wrong with the replica whatever the cluster; the error
// wraps ErrInvalid.
func (r *Replica) Validate() error { return r.validate() }

func (r *Replica) validate() error {
	switch {
	case r.ID == "":
		return fmt.Errorf("%w replica: it has no id", ErrInvalid)
	case !(0 <= r.Entropy && r.Entropy <= 1):
		return fmt.Errorf("%w replica %s: entropy E_c is %v, must lie in [0,1]", ErrInvalid, r.ID, r.Entropy)
	case r.CPU < 0 || r.CPU > MaxCPU:
		return fmt.Errorf("%w replica %s: %d millicores of CPU, must lie in [0,%d]", ErrInvalid, r.ID, r.CPU, int64(MaxCPU))
	case r.Memory < 0 || r.Memory > MaxMemory:
		return fmt.Errorf("%w replica %s: %d bytes of memory, must lie in [0,%d]", ErrInvalid, r.ID, r.Memory, int64(MaxMemory))
	case r.Weight < 0 || r.Weight > MaxWeight:
		return fmt.Errorf("%w replica %s: CPU weight %d, must lie in [1,%d]", ErrInvalid, r.ID, r.Weight, MaxWeight)
	case r.Waited < 0 || r.Waited > maxWaited:
		return fmt.Errorf("%w replica %s: it has waited %v, must lie in [0,%v]", ErrInvalid, r.ID, r.Waited, maxWaited)
	}
	for i, p := range r.Ports {
		if err := p.validate(); err != nil {
			return fmt.Errorf("%w replica %s: %v", ErrInvalid, r.ID, err)
		}
		if j := slices.IndexFunc(r.Ports[:i], p.Conflicts); j >= 0 {
			return fmt.Errorf("%w replica %s: it wants both %v and %v", ErrInvalid, r.ID, r.Ports[j], p)
		}
	}
	for _, k := range r.Constraints {
		if err := k.validate(); err != nil {
			return fmt.Errorf("%w replica %s: %v", ErrInvalid, r.ID, err)
		}
	}
	return nil
}

// entropy returns E_c as the score takes it.
func (r *Replica) entropy() float64 { return max(r.Entropy, MinEntropy) }

// weight returns the CPU weight with its default.
func (r *Replica) weight() uint64 {
	if r.Weight == 0 {
		return DefaultWeight
	}
	return uint64(r.Weight)
}

func (r Replica) clone() Replica {
	r.Ports = slices.Clone(r.Ports)
	r.Constraints = slices.Clone(r.Constraints)
	return r
}

// dominantShare returns equation 38 for the replica in a cluster, or on a node,
// that has so much CPU and memory.
func (r *Replica) dominantShare(cpu, memory int64) float64 {
	demand := [...]float64{float64(r.CPU), float64(r.Memory)}
	capacity := [...]float64{float64(cpu), float64(memory)}
	return equations.DominantShare(demand[:], capacity[:])
}

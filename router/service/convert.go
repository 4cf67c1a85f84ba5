package service

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/router"
)

// nodeOf is a node as package router has it. A noise source that is not
// assessed counts as an unhealthy one.
func nodeOf(n *entroosv1.RouterNode) (router.Node, error) {
	cpu, err := count(n.GetCpuMilli())
	if err != nil {
		return router.Node{}, fmt.Errorf("node %s: CPU: %w", n.GetId(), err)
	}
	memory, err := count(n.GetMemoryBytes())
	if err != nil {
		return router.Node{}, fmt.Errorf("node %s: memory: %w", n.GetId(), err)
	}
	node := router.Node{ID: n.GetId(), Hostname: n.GetHostname(), Labels: n.GetLabels(), CPU: cpu, Memory: memory}
	if n.GetEntropyHealth() == entroosv1.EntropyHealth_ENTROPY_HEALTH_HEALTHY {
		node.Entropy = n.GetEntropy()
	}
	return node, nil
}

// replicaOf is a replica as package router has it, which has waited for so long
// before.
func replicaOf(r *entroosv1.Replica, waited time.Duration) (router.Replica, error) {
	wrong := func(err error) (router.Replica, error) {
		return router.Replica{}, fmt.Errorf("replica %s: %w", r.GetName(), err)
	}
	given := router.Replica{ID: r.GetId(), Entropy: router.UnknownEntropy, Waited: waited}
	if r.Entropy != nil {
		given.Entropy = r.GetEntropy()
	}
	for _, n := range []struct {
		from uint64
		to   *int64
	}{{r.GetCpuMilli(), &given.CPU}, {r.GetMemoryBytes(), &given.Memory}, {r.GetCpuWeight(), &given.Weight}} {
		var err error
		if *n.to, err = count(n.from); err != nil {
			return wrong(err)
		}
	}
	for _, p := range r.GetPorts() {
		port := router.HostPort{Protocol: p.GetProtocol(), Port: uint16(p.GetHostPort())}
		if p.GetHostPort() > math.MaxUint16 {
			return wrong(fmt.Errorf("there is no port %d", p.GetHostPort()))
		}
		if p.GetHostIp() != "" {
			var err error
			if port.Address, err = netip.ParseAddr(p.GetHostIp()); err != nil {
				return wrong(err)
			}
		}
		given.Ports = append(given.Ports, port)
	}
	for _, text := range r.GetConstraints() {
		k, err := router.ParseConstraint(text)
		if err != nil {
			return wrong(err)
		}
		given.Constraints = append(given.Constraints, k)
	}
	return given, nil
}

// count is a number that the API has without a sign.
func count(n uint64) (int64, error) {
	if n > math.MaxInt64 {
		return 0, fmt.Errorf("%d is too large", n)
	}
	return int64(n), nil
}

// Package governor keeps what EntroOS uses of its CPUs at a target: it measures
// the whole box's utilisation and steers the quota that all workloads share
// (equations 25 to 30). Within that quota containers compete by their weights.
// It also watches what the kernel tells of memory pressure and energy.
package governor

// Package simulation is the production test: the router that runs on boxes
// places simulated containers on simulated nodes, and the governor that boxes
// have holds the nodes' simulated load to the target.
//
// Simulated are the nodes, the containers and the load they make. Real are the
// placement (package router), the governor and every figure's formula (package
// equations). Measured, on the machine that runs the test, is the time that a
// verification takes.
package simulation

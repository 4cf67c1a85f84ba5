// Package nko is the Node Kernel Operator: what PID 1 does once the box's
// file systems are there. It reaps every process of the box, supervises the
// services, runs the workloads, writes a signed receipt for each execution,
// and keeps the receipts in an outbox until the ledger has committed them.
//
// Every goroutine of this package is started through [Go], so that a panic in
// one part never ends PID 1.
package nko

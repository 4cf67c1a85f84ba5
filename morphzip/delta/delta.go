// Package delta is the delta morph: a file as its differences from a similar one
// that is there already.
package delta

// Package store keeps streams of entries, such as logs, and blobs, compressed,
// in one bbolt file.
//
// What has just been appended is in a stream's tail, one value for each
// commit. Of about a megabyte of it a block is made, and later, where the
// machine has the time, dense blocks of several. Readers see one sequence of
// entries, wherever they lie.
package store

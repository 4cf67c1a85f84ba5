// Package morphzip is the compressed store's file format and its coding: data
// is morphed into a more compressible shape, block by block, and then coded.
//
// A Writer makes a file of a stream, a Reader reads it back as a stream, and a
// File reads any part of it. Recover saves what is intact in a damaged one. An
// Encoder codes single blocks into frames, which Decode reads back, for stores
// that keep blocks in another place than a file.
//
// docs/morphzip-format.md describes version 1 of the format byte by byte.
package morphzip

package proof

import (
	"crypto/sha256"
	"encoding/binary"
)

// appHashTag separates the application's hash from all other digests.
const appHashTag = "entroos/app/v1"

// AppHash returns the hash by which a block header commits to the
// application's state after the block before it:
//
//	SHA-256(tag ‖ tree size ‖ tree root ‖ digest of all other state)
//
// with the size as a big-endian 64-bit integer.
func AppHash(size uint64, root, rest [32]byte) [32]byte {
	b := make([]byte, 0, len(appHashTag)+8+64)
	b = append(b, appHashTag...)
	b = binary.BigEndian.AppendUint64(b, size)
	b = append(b, root[:]...)
	b = append(b, rest[:]...)
	return sha256.Sum256(b)
}

// Package blockdev knows block devices: what they are and who uses them, their
// partition tables, and the identities of what is on them. It makes an EntroOS
// disk out of the parts of another.
package blockdev

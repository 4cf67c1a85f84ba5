package tree

import (
	"bytes"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxAttributes is the kernel's bound on a file's attributes, names or one
// value, in bytes.
const maxAttributes = 64 << 10

// copyAttributes copies the extended attributes that are a file's own: the
// user's, and capabilities.
func copyAttributes(to, from *os.File) error {
	names := make([]byte, maxAttributes)
	n, err := unix.Flistxattr(int(from.Fd()), names)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return err
	}
	for raw := range bytes.SplitSeq(names[:n], []byte{0}) {
		name := string(raw)
		if !strings.HasPrefix(name, "user.") && name != "security.capability" {
			continue
		}
		value := make([]byte, maxAttributes)
		n, err := unix.Fgetxattr(int(from.Fd()), name, value)
		if err == nil {
			err = unix.Fsetxattr(int(to.Fd()), name, value[:n], 0)
		}
		if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
			return &os.PathError{Op: "copy attribute " + name, Path: from.Name(), Err: err}
		}
	}
	return nil
}

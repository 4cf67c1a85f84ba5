package oci

import (
	"archive/tar"
	"fmt"
	"math"
	"path"
	"strings"
	"time"
)

// Bounds on a layer's entries. A path ends well below the kernel's PATH_MAX,
// since layers lie in a folder.
const (
	maxLayerEntries = 1_000_000
	maxPath         = 3840 // bytes
	maxName         = 255  // bytes of a path's component
	maxDepth        = 255  // components
	maxLinkTarget   = 4095 // bytes
	maxAttributes   = 64
	maxAttribute    = 64 << 10 // bytes of all attributes
)

// whiteoutPrefix begins the name of a file that says something about the layers
// below.
const (
	whiteoutPrefix = ".wh."
	aufsPrefix     = ".wh..wh." // AUFS's own files, of which only this means something:
	opaqueMarker   = ".wh..wh..opq"
)

// layerEntry is what is taken from a tar header, once it has been checked. It
// holds none of the header's memory.
type layerEntry struct {
	dir, base  string // below the layer's root; "." and "." for the root
	kind       byte
	size       int64
	target     string // of a link
	uid, gid   int
	mode       uint32 // permissions, setuid, setgid, sticky
	modified   time.Time
	attributes map[string]string
}

// checkEntry refuses entries that no image has for good reasons. One that is
// nil is left out.
func checkEntry(h *tar.Header) (*layerEntry, error) {
	e, err := newEntry(h)
	if err != nil {
		return nil, fmt.Errorf("%.300q: %w", h.Name, err)
	}
	return e, nil
}

func newEntry(h *tar.Header) (*layerEntry, error) {
	name, err := checkName(h.Name)
	if err != nil {
		return nil, err
	}
	dir, base := path.Split(name)
	e := &layerEntry{
		dir: path.Clean(dir), base: base, kind: h.Typeflag, uid: h.Uid, gid: h.Gid,
		mode: uint32(h.Mode) & 0o7777, modified: boundTime(h.ModTime),
	}
	if leaveOut, err := e.checkKind(h); leaveOut || err != nil {
		return nil, err
	}
	if e.uid < 0 || int64(e.uid) >= math.MaxUint32 || e.gid < 0 || int64(e.gid) >= math.MaxUint32 {
		return nil, fmt.Errorf("%w: there is no user or group %d:%d", ErrUnsafe, e.uid, e.gid)
	}
	if leaveOut, err := checkWhiteoutName(e.dir, e.base); leaveOut || err != nil {
		return nil, err
	}
	e.attributes, err = checkAttributes(h.PAXRecords)
	return e, err
}

// checkName gives a path relative to the layer's root.
func checkName(name string) (string, error) {
	if len(name) > maxPath {
		return "", fmt.Errorf("%w: a path of %d bytes", ErrTooLarge, len(name))
	}
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%w: a zero byte in its name", ErrUnsafe)
	}
	if escapes(name) {
		return "", fmt.Errorf("%w: it leads out of the layer", ErrUnsafe)
	}
	clean := strings.Clone(path.Clean("/" + name)[1:])
	if clean == "" {
		clean = "."
	}
	if n := strings.Count(clean, "/") + 1; n > maxDepth {
		return "", fmt.Errorf("%w: %d folders deep", ErrTooLarge, n)
	}
	for c := range strings.SplitSeq(clean, "/") {
		if len(c) > maxName {
			return "", fmt.Errorf("%w: a name of %d bytes", ErrTooLarge, len(c))
		}
	}
	return clean, nil
}

// escapes says whether name has a component .. that leads above its start.
func escapes(name string) bool {
	depth := 0
	for c := range strings.SplitSeq(name, "/") {
		switch c {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

func (e *layerEntry) checkKind(h *tar.Header) (leaveOut bool, err error) {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		e.kind, e.size = tar.TypeReg, h.Size
		if h.Size < 0 {
			return false, fmt.Errorf("%w: a size of %d bytes", ErrMalformed, h.Size)
		}
	case tar.TypeDir, tar.TypeFifo:
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > maxLinkTarget || strings.ContainsRune(h.Linkname, 0) {
			return false, fmt.Errorf("%w: a symbolic link to a path of %d bytes", ErrUnsafe, len(h.Linkname))
		}
		e.target = strings.Clone(h.Linkname)
	case tar.TypeLink:
		if e.target, err = checkName(h.Linkname); err != nil {
			return false, fmt.Errorf("its target %.300q: %w", h.Linkname, err)
		}
	case tar.TypeChar, tar.TypeBlock:
		// Images made from whole root file systems have some below /dev, where
		// a container gets its own.
		if e.dir == "dev" || strings.HasPrefix(e.dir, "dev/") {
			return true, nil
		}
		return false, fmt.Errorf("%w: it is a device node", ErrUnsafe)
	case tar.TypeXGlobalHeader:
		return true, nil
	default:
		return false, fmt.Errorf("%w: an entry of type %q", ErrUnsupported, h.Typeflag)
	}
	if e.base == "." && e.kind != tar.TypeDir {
		return false, fmt.Errorf("%w: the layer's root is no folder", ErrUnsafe)
	}
	return false, nil
}

// checkWhiteoutName refuses whiteouts that hide what they cannot, and leaves
// AUFS's own files out.
func checkWhiteoutName(dir, base string) (leaveOut bool, err error) {
	for c := range strings.SplitSeq(dir, "/") {
		if strings.HasPrefix(c, aufsPrefix) {
			return true, nil
		}
		if strings.HasPrefix(c, whiteoutPrefix) {
			return false, fmt.Errorf("%w: a whiteout has nothing below it", ErrUnsafe)
		}
	}
	switch hidden, ok := strings.CutPrefix(base, whiteoutPrefix); {
	case !ok || base == opaqueMarker:
		return false, nil
	case strings.HasPrefix(base, aufsPrefix):
		return true, nil
	case hidden == "" || hidden == "." || hidden == "..":
		return false, fmt.Errorf("%w: it is a whiteout of no file", ErrUnsafe)
	}
	return false, nil
}

// checkAttributes gives an entry's extended attributes. Only those are taken
// that containers have a use for; trusted ones are how overlayfs marks its own.
func checkAttributes(records map[string]string) (map[string]string, error) {
	var attributes map[string]string
	size := 0
	for key, value := range records {
		name, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		switch {
		case !ok:
			continue
		case strings.HasPrefix(name, "trusted."):
			return nil, fmt.Errorf("%w: the attribute %.300q is the system's", ErrUnsafe, name)
		case !strings.HasPrefix(name, "user.") && name != "security.capability":
			continue
		case strings.HasPrefix(name, "user.overlay."):
			return nil, fmt.Errorf("%w: the attribute %.300q is the system's", ErrUnsafe, name)
		}
		if size += len(name) + len(value); len(attributes) == maxAttributes || len(name) > maxName || size > maxAttribute {
			return nil, fmt.Errorf("%w: its extended attributes", ErrTooLarge)
		}
		if attributes == nil {
			attributes = make(map[string]string)
		}
		attributes[strings.Clone(name)] = strings.Clone(value)
	}
	return attributes, nil
}

// boundTime gives a time that every file system can keep.
func boundTime(t time.Time) time.Time {
	if t.Before(time.Unix(0, 0)) {
		return time.Unix(0, 0)
	}
	if last := time.Unix(1<<34-1<<31-1, 0); t.After(last) { // ext4's, in the year 2446
		return last
	}
	return t
}

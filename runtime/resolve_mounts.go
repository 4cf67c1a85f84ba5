package runtime

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"regexp"
	"slices"
	"strings"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

var volumePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)

const (
	maxMounts = 256
	// maxPath is the longest path of a workload, in bytes.
	maxPath = 4095
)

// resolveMounts takes the spec's mounts, and anonymous volumes for those of the
// image's that the spec puts nothing in place of. Where one is below another,
// that one comes first.
func (w *Workload) resolveMounts(mounts []*entroosv1.VolumeMount, image map[string]struct{}) error {
	if len(mounts)+len(image) > maxMounts {
		return invalid("%d volumes, and at most %d are possible", len(mounts)+len(image), maxMounts)
	}
	targets := make(map[string]bool)
	for _, m := range mounts {
		target, err := checkTarget(m.Target)
		if err != nil {
			return err
		}
		if targets[target] {
			return invalid("two volumes have the target %q", target)
		}
		targets[target] = true
		source := m.Source
		switch {
		case len(source) > maxPath || strings.ContainsAny(source, "\x00\n"):
			return invalid("volume %.300q holds a character that no path has, or is too long", source)
		case path.IsAbs(source):
			source = path.Clean(source)
		case !volumePattern.MatchString(source):
			return invalid("volume %q: the source is neither a volume's name ([a-zA-Z0-9][a-zA-Z0-9_.-]*) nor an absolute path", source)
		}
		w.Mounts = append(w.Mounts, Mount{Source: source, Target: target, ReadOnly: m.ReadOnly})
	}
	for name := range image {
		target, err := checkTarget(name)
		if err != nil {
			return invalid("the image asks for a volume: %w", err)
		}
		if !targets[target] {
			targets[target] = true
			w.Mounts = append(w.Mounts, Mount{Target: target})
		}
	}
	slices.SortFunc(w.Mounts, func(a, b Mount) int {
		return cmp.Or(cmp.Compare(strings.Count(a.Target, "/"), strings.Count(b.Target, "/")), cmp.Compare(a.Target, b.Target))
	})
	return nil
}

// keepVolumes names the anonymous volumes of a declared workload after it: its
// container is replaced by another when its settings or its image change, and
// that one finds what this one has written.
func (w *Workload) keepVolumes(spec *entroosv1.WorkloadSpec) error {
	if !spec.GetDeclared() {
		return nil
	}
	for i, m := range w.Mounts {
		if m.Source != "" {
			continue
		}
		target := sha256.Sum256([]byte(m.Target))
		source := spec.GetName() + "." + hex.EncodeToString(target[:16])
		if !volumePattern.MatchString(source) {
			return invalid("no volume can be named after the workload %.300q", spec.GetName())
		}
		w.Mounts[i].Source = source
	}
	return nil
}

// checkTarget gives where in a container a volume is to be mounted.
func checkTarget(name string) (string, error) {
	target := path.Clean(name)
	switch {
	case len(name) > maxPath:
		return "", invalid("volume target of %d bytes", len(name))
	case !path.IsAbs(name) || target == "/":
		return "", invalid("volume target %q is not an absolute path below /", name)
	case slices.ContainsFunc([]string{"/proc", "/sys", "/dev"}, func(p string) bool { return target == p || strings.HasPrefix(target, p+"/") }):
		return "", invalid("volume target %q is the system's", name)
	case strings.ContainsAny(name, "\x00\n"):
		return "", invalid("volume target %q holds a character that no path has", name)
	}
	return target, nil
}

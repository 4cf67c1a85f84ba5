package runtime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
)

// defaultCapabilities are docker's. They hold within the container's own user
// namespace only.
var defaultCapabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// resolveCapabilities gives the default ones with add and without drop, as
// docker does: names may lack CAP_ and be in any case, ALL is all there are,
// and what is both added and dropped is there only when all are dropped.
func resolveCapabilities(add, drop []string) ([]string, error) {
	adds, addAll, err := capabilityNames(add)
	if err != nil {
		return nil, fmt.Errorf("cap-add: %w", err)
	}
	drops, dropAll, err := capabilityNames(drop)
	if err != nil {
		return nil, fmt.Errorf("cap-drop: %w", err)
	}
	var caps []string
	switch {
	case addAll:
		for _, c := range capability.ListKnown() {
			caps = append(caps, "CAP_"+strings.ToUpper(c.String()))
		}
		caps = without(caps, drops)
	case dropAll:
		caps = adds
	default:
		caps = append(without(defaultCapabilities, drops), without(adds, drops)...)
	}
	slices.Sort(caps)
	return slices.Compact(caps), nil
}

func without(caps, drops []string) []string {
	return slices.DeleteFunc(slices.Clone(caps), func(c string) bool { return slices.Contains(drops, c) })
}

func capabilityNames(given []string) (names []string, all bool, err error) {
	known := make(map[string]bool)
	for _, c := range capability.ListKnown() {
		known["CAP_"+strings.ToUpper(c.String())] = true
	}
	for _, g := range given {
		name := strings.ToUpper(g)
		if name == "ALL" || name == "CAP_ALL" {
			all = true
			continue
		}
		if !strings.HasPrefix(name, "CAP_") {
			name = "CAP_" + name
		}
		if !known[name] {
			return nil, false, fmt.Errorf("there is no capability %q", g)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), all, nil
}

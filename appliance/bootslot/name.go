// Package bootslot knows the UKIs on the EFI system partition: which of them
// runs, which are on trial, and how one is blessed or put beside the others.
//
// A UKI is one file in EFI/Linux, named entroos_<version>.efi. On trial it carries
// a boot counter, entroos_<version>+<left>-<done>.efi, which systemd-boot counts
// down at each boot (Automatic Boot Assessment of the UAPI group: "+3" becomes
// "+2-1"); one with no tries left is chosen only when there is no other. Blessing
// drops the counter, so that the boot loader keeps choosing the file.
package bootslot

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

const (
	namePrefix = "entroos_"
	nameSuffix = ".efi"
	// Tries is how often a new UKI is tried before the one before it is booted
	// again.
	Tries = 3
)

// UKI is one bootable file.
type UKI struct {
	// Name is the file's name, counter included.
	Name string
	// Version is that in the name.
	Version string
	// OnTrial says that there is a boot counter: Left boots remain, Done have
	// been begun.
	OnTrial    bool
	Left, Done int
	// Size in bytes, where the file was looked at.
	Size int64
}

// namePattern: systemd's are "+LEFT" and "+LEFT-DONE". FAT does not know small
// letters from capitals, and the boot loader tells names in small ones.
var namePattern = regexp.MustCompile(`(?i)^entroos_([0-9a-z.~-]+)(?:\+([0-9]{1,9})(?:-([0-9]{1,9}))?)?\.efi$`)

// ParseName takes a UKI's file name apart. ok is false for other files.
func ParseName(name string) (uki UKI, ok bool) {
	m := namePattern.FindStringSubmatch(name)
	if m == nil {
		return UKI{}, false
	}
	uki = UKI{Name: name, Version: m[1], OnTrial: m[2] != ""}
	// Nine digits at most: these do not fail.
	uki.Left, _ = strconv.Atoi(m[2])
	uki.Done, _ = strconv.Atoi(m[3])
	return uki, true
}

// Blessed is the name without a counter.
func (u UKI) Blessed() string { return namePrefix + u.Version + nameSuffix }

// onTrial is the name with all tries left.
func onTrial(version string) string {
	return fmt.Sprintf("%s%s+%d%s", namePrefix, version, Tries, nameSuffix)
}

// same says that two names are of one UKI, whatever their counters.
func (u UKI) same(other UKI) bool { return strings.EqualFold(u.Version, other.Version) }

// Later says that of two directory entries for one file, which a power cut
// within a rename leaves, a is the rename's result: counters only fall, and in
// the end go. Paths are relative to the partition's root, with slashes.
func Later(a, b string) bool {
	ua, aok := parsePath(a)
	ub, bok := parsePath(b)
	switch {
	case aok != bok:
		return aok // placed: the other is the temporary name
	case !aok:
		return false
	case ua.OnTrial != ub.OnTrial:
		return !ua.OnTrial
	default:
		return ua.Left < ub.Left
	}
}

// Precious says that a file or folder, a path as in Later, is needed to boot
// what has booted well: damage beside it must not be mended at its cost.
func Precious(path string) bool {
	if uki, ok := parsePath(path); ok {
		return !uki.OnTrial
	}
	top, _, _ := strings.Cut(strings.ToLower(path), "/")
	return strings.EqualFold(path, Folder) || strings.HasPrefix(strings.ToLower(path), "efi/boot") ||
		strings.EqualFold(path, "EFI") || top == "loader"
}

func parsePath(path string) (UKI, bool) {
	if len(path) <= len(Folder) || !strings.EqualFold(path[:len(Folder)], Folder) || path[len(Folder)] != '/' {
		return UKI{}, false
	}
	return ParseName(path[len(Folder)+1:])
}

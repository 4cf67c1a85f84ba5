package oci

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// ErrName is returned for what is no image's name.
var ErrName = errors.New("not an image's name")

// NormalizeReference gives the form in which an image's name is kept and
// shown: name:tag, where the tag is latest when none is given and the
// registries that add nothing, docker.io (with its library/) and localhost,
// are left out. A digest is no name.
func NormalizeReference(s string) (string, error) {
	for {
		name, err := normalizeOnce(s)
		if err != nil || name == s {
			return name, err
		}
		s = name // docker.io/docker.io/x is left with one of them
	}
}

func normalizeOnce(s string) (string, error) {
	s = strings.TrimSpace(s)
	if len(s) > 512 {
		return "", fmt.Errorf("%w: %d bytes", ErrName, len(s))
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) { // the library's errors have it as it is
		return "", fmt.Errorf("%w: %q", ErrName, s)
	}
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return "", fmt.Errorf("%w: %q: %w", ErrName, s, err)
	}
	if _, ok := named.(reference.Digested); ok {
		return "", fmt.Errorf("%w: %q carries a digest, where only a name and a tag can stand", ErrName, s)
	}
	tagged, ok := reference.TagNameOnly(named).(reference.Tagged)
	if !ok {
		return "", fmt.Errorf("%w: %q has no tag", ErrName, s)
	}
	name := strings.TrimPrefix(reference.FamiliarName(named), "localhost/")
	return name + ":" + tagged.Tag(), nil
}

// ErrAmbiguous is returned for a prefix that more than one image's digest has.
var ErrAmbiguous = errors.New("more than one image has a digest that begins so")

var digestPrefix = regexp.MustCompile(`^(?:sha256:)?([0-9a-f]{4,64})$`)

// parseDigestPrefix gives the hexadecimal digits of a digest or the beginning
// of one, with or without sha256: before it.
func parseDigestPrefix(s string) (string, bool) {
	m := digestPrefix.FindStringSubmatch(s)
	if m == nil {
		return "", false
	}
	return m[1], true
}

package debian

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/entroos/entroos/image/hosttool"
)

func TestOwner(t *testing.T) {
	if err := hosttool.Require("dpkg-query"); err != nil {
		t.Skip(err)
	}
	// By its path in the package, and by that through the link /bin.
	for _, path := range []string{"/usr/bin/dpkg", "/bin/dpkg"} {
		owner, err := Owner(t.Context(), path)
		if err != nil || owner.Name != "dpkg" || owner.Source != "dpkg" || owner.Version == "" || owner.Architecture == "" {
			t.Errorf("%s belongs to %+v (%v)", path, owner, err)
		}
	}
	nobodys := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(nobodys, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if owner, err := Owner(t.Context(), nobodys); !errors.Is(err, ErrUnknown) {
		t.Errorf("a file of nobody's belongs to %+v (%v)", owner, err)
	}
	if _, err := Owner(t.Context(), nobodys+"-absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
	if _, err := Installed(t.Context(), "no-such-package"); !errors.Is(err, ErrUnknown) {
		t.Errorf("an absent package: %v", err)
	}
}

func TestFirstOwner(t *testing.T) {
	for output, want := range map[string]string{
		"gcc-12: /usr/bin/x\n":            "gcc-12",
		"libc6:amd64: /lib/x\n":           "libc6:amd64",
		"libx:amd64, libx:i386: /lib/x\n": "libx:amd64",
		"diversion by dash from: /bin/sh\ndiversion by dash to: /bin/sh.distrib\ndash: /bin/sh\n": "dash",
		"local diversion from: /bin/x\n": "",
		"":                               "",
	} {
		if got := firstOwner(output); got != want {
			t.Errorf("%q: %q, want %q", output, got, want)
		}
	}
}

func TestCopyrightOf(t *testing.T) {
	const file = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: things

Files: *
Copyright: 2001, A
License: MIT
 All of it, here.

Files: a/* b/c
 d/*
Copyright: 2002, B
License: Own

Files: e/*
Copyright: 2003, C
License: Missing

License: Own
 You may.
 .
 Or not.
`
	for pattern, want := range map[string]string{
		"*":   "Files: *\nCopyright: 2001, A\nLicense: MIT\n All of it, here.\n",
		"d/*": "Files: a/* b/c\n d/*\nCopyright: 2002, B\nLicense: Own\n\nLicense: Own\n You may.\n .\n Or not.\n",
	} {
		if got, err := CopyrightOf(file, pattern); err != nil || got != want {
			t.Errorf("%s: %q (%v), want %q", pattern, got, err, want)
		}
	}
	for _, pattern := range []string{"x/*", "e/*"} {
		if got, err := CopyrightOf(file, pattern); err == nil {
			t.Errorf("%s: %q", pattern, got)
		}
	}
}

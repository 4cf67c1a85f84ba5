package hosttool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRequireNamesPackages(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := Require("mcopy", "mmd", "no-such-tool", "/nonexistent/file")
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Fatalf("error is %v", err)
	}
	if _, here := Look("mcopy"); here == nil {
		t.Skip("mcopy lies in an administrator's folder here")
	}
	want := "not found: mcopy, mmd, no-such-tool, /nonexistent/file; " +
		"install the Debian packages: apt-get install mtools; no Debian package is known for no-such-tool, /nonexistent/file"
	if err.Error() != want {
		t.Errorf("error is\n%s\nwant\n%s", err, want)
	}
}

func TestLook(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("PATH", folder)
	program := filepath.Join(folder, "some-tool")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"some-tool", program} {
		if got, err := Look(name); err != nil || got != program {
			t.Errorf("Look(%q) is %q, %v; want %q", name, got, err, program)
		}
	}
	// No program, though a file of that name.
	if err := os.WriteFile(filepath.Join(folder, "some-text"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Look("some-text"); err == nil || !strings.Contains(err.Error(), "some-text") {
		t.Errorf("error is %v", err)
	}
}

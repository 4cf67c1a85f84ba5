package debian

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/entroos/entroos/image/hosttool"
)

// repository is an archive in a folder, signed with a key of its own.
type repository struct {
	folder, keyring string
}

// runIn runs a program for the test.
func runIn(t *testing.T, folder, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = folder
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.String())
	}
	return output
}

// buildDeb makes a package with one file in it.
func buildDeb(t *testing.T, folder, name, version string) {
	t.Helper()
	tree := t.TempDir()
	for path, content := range map[string]string{
		"DEBIAN/control":      fmt.Sprintf("Package: %s\nSource: thesource (9)\nVersion: %s\nArchitecture: all\nMaintainer: nobody\nDescription: test\n", name, version),
		"usr/lib/a/b":         "content of " + version,
		"usr/share/doc/x/txt": "text",
	} {
		path = filepath.Join(tree, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	runIn(t, folder, "dpkg-deb", "--root-owner-group", "--build", tree, filepath.Join(folder, name+"_"+version+"_all.deb"))
}

// newRepository makes an archive with one version of the package "thing".
func newRepository(t *testing.T, version string) repository {
	t.Helper()
	if err := hosttool.Require("apt-get", "dpkg-deb", "gpg"); err != nil {
		t.Skip(err)
	}
	home, err := os.MkdirTemp("", "gpg") // its sockets want a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run() // an agent need not be running
		os.RemoveAll(home)
	})
	r := repository{folder: t.TempDir()}
	r.keyring = filepath.Join(r.folder, "keyring.gpg")
	lists := filepath.Join(r.folder, "dists/stable/extra/binary-amd64")
	if err := os.MkdirAll(lists, 0o755); err != nil {
		t.Fatal(err)
	}
	buildDeb(t, r.folder, "thing", version)
	deb := filepath.Join(r.folder, "thing_"+version+"_all.deb")
	hash, err := hashFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(deb)
	if err != nil {
		t.Fatal(err)
	}
	packages := fmt.Sprintf("Package: thing\nVersion: %s\nArchitecture: all\nMaintainer: nobody\nFilename: ./thing_%s_all.deb\nSize: %d\nSHA256: %s\nDescription: test\n",
		version, version, info.Size(), hash)
	index := filepath.Join(lists, "Packages")
	if err := os.WriteFile(index, []byte(packages), 0o644); err != nil {
		t.Fatal(err)
	}
	if hash, err = hashFile(index); err != nil {
		t.Fatal(err)
	}
	release := fmt.Sprintf("Origin: test\nSuite: stable\nCodename: stable\nArchitectures: amd64\nComponents: extra\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n %s %d extra/binary-amd64/Packages\n",
		hash, len(packages))
	if err := os.WriteFile(filepath.Join(r.folder, "dists/stable/Release"), []byte(release), 0o644); err != nil {
		t.Fatal(err)
	}
	gpg := []string{"--homedir", home, "--batch", "--passphrase", ""}
	runIn(t, r.folder, "gpg", append(gpg, "--quick-generate-key", "test@example.com", "ed25519", "sign", "never")...)
	runIn(t, r.folder, "gpg", append(gpg, "--output", r.keyring, "--export")...)
	runIn(t, r.folder, "gpg", append(gpg, "--output", "dists/stable/InRelease", "--clearsign", "dists/stable/Release")...)
	return r
}

func (r repository) source() Source {
	return Source{URI: "file:" + r.folder, Suites: []string{"stable"}, Component: "extra", Keyring: r.keyring}
}

func (r repository) hash(t *testing.T, version string) string {
	t.Helper()
	hash, err := hashFile(filepath.Join(r.folder, "thing_"+version+"_all.deb"))
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestFetch(t *testing.T) {
	old, current := newRepository(t, "1.0"), newRepository(t, "2.0~bpo1")
	pin := Pin{Name: "thing", Version: "1.0", SHA256: old.hash(t, "1.0")}
	var asked int
	archive := Archive{
		Cache: filepath.Join(t.TempDir(), "cache"),
		// The first has another version by now.
		Mirrors:  [][]Source{{current.source()}, {old.source()}},
		Progress: func(string) { asked++ },
	}
	paths, err := archive.Fetch(t.Context(), pin)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Describe(t.Context(), paths[0])
	want := Package{Name: "thing", Version: "1.0", Architecture: "all", Source: "thesource", SourceVersion: "9", SHA256: pin.SHA256}
	if err != nil || got != want {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
	files, err := Files(t.Context(), paths[0], func(path string) bool { return strings.HasPrefix(path, "/lib/") })
	if err != nil || len(files) != 1 || string(files["/lib/a/b"]) != "content of 1.0" {
		t.Errorf("its files are %q (%v)", files, err)
	}

	before := asked
	if again, err := archive.Fetch(t.Context(), pin); err != nil || !slices.Equal(again, paths) || asked != before {
		t.Errorf("again: %v, %v; asked %d times", again, err, asked-before)
	}
	newest, err := archive.Fetch(t.Context(), Pin{Name: "thing"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Describe(t.Context(), newest[0]); err != nil || got.Version != "2.0~bpo1" {
		t.Errorf("the newest is %+v (%v)", got, err)
	}
	if err := os.WriteFile(paths[0], []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Fetch(t.Context(), pin); err == nil || !strings.Contains(err.Error(), "is damaged: remove it") {
		t.Errorf("a damaged cache: %v", err)
	}
}

func TestFetchRefuses(t *testing.T) {
	good, other := newRepository(t, "1.0"), newRepository(t, "1.0.1")
	foreign := good.source()
	foreign.Keyring = other.keyring
	pin := Pin{Name: "thing", Version: "1.0", SHA256: good.hash(t, "1.0")}
	wrong := pin
	wrong.SHA256 = strings.Repeat("0", 64)
	for name, test := range map[string]struct {
		source Source
		pin    Pin
		want   string
	}{
		"signed by somebody else": {foreign, pin, "apt-get update"},
		"no such version":         {other.source(), pin, "Version '1.0' for 'thing' was not found"},
		"no such package":         {good.source(), Pin{Name: "absent"}, "absent"},
		"not the pinned file":     {good.source(), wrong, "not the file that was pinned"},
		"no such archive":         {Source{URI: "file:/nonexistent", Suites: []string{"stable"}, Component: "extra", Keyring: good.keyring}, pin, "apt-get update"},
	} {
		t.Run(name, func(t *testing.T) {
			archive := Archive{Cache: t.TempDir(), Mirrors: [][]Source{{test.source}}}
			_, err := archive.Fetch(t.Context(), test.pin)
			var unavailable *UnavailableError
			if !errors.As(err, &unavailable) || unavailable.Pin != test.pin || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
			left, globErr := filepath.Glob(filepath.Join(archive.Cache, "*.deb"))
			work, workErr := filepath.Glob(filepath.Join(archive.Cache, ".apt-*"))
			if globErr != nil || workErr != nil || len(left)+len(work) > 0 {
				t.Errorf("left behind: %v %v", left, work)
			}
		})
	}
}

// A machine that prefers a release that is not among the sources is no matter.
func TestFetchIgnoresDefaultRelease(t *testing.T) {
	r := newRepository(t, "1.0")
	config := filepath.Join(t.TempDir(), "apt.conf")
	if err := os.WriteFile(config, []byte(`APT::Default-Release "trixie";`), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("APT_CONFIG", config)
	archive := Archive{Cache: t.TempDir(), Mirrors: [][]Source{{r.source()}}}
	for _, pin := range []Pin{{Name: "thing"}, {Name: "thing", Version: "1.0", SHA256: r.hash(t, "1.0")}} {
		if _, err := archive.Fetch(t.Context(), pin); err != nil {
			t.Errorf("%+v: %v", pin, err)
		}
	}
}

// The machine's own apt sees nothing of it.
func TestFetchLeavesTheMachineAlone(t *testing.T) {
	r := newRepository(t, "1.0")
	before := machineState(t)
	archive := Archive{Cache: t.TempDir(), Mirrors: [][]Source{{r.source()}}}
	if _, err := archive.Fetch(context.Background(), Pin{Name: "thing"}); err != nil {
		t.Fatal(err)
	}
	if after := machineState(t); !maps.Equal(before, after) {
		t.Errorf("apt's own folders changed:\n%v\n%v", before, after)
	}
}

// machineState is each file below apt's own folders with its time and size.
func machineState(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, folder := range []string{"/etc/apt", "/var/lib/apt", "/var/cache/apt"} {
		err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
			if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err == nil {
				state[path] = fmt.Sprint(info.ModTime(), info.Size())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return state
}

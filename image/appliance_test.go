package image

import (
	"archive/tar"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	modpath "golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/entroos/entroos/appliance/config"
)

// writeFiles writes texts into a folder.
func writeFiles(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// serveModule makes go take modules from a folder that has versions v1.0.0 and
// v1.1.0 of example.com/greeter, which has a command and a library.
func serveModule(t *testing.T) {
	t.Helper()
	proxy := t.TempDir()
	folder := filepath.Join(proxy, "example.com/greeter/@v")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	const mod = "module example.com/greeter\n\ngo 1.24\n"
	for _, version := range []string{"v1.0.0", "v1.1.0"} {
		source := t.TempDir()
		writeFiles(t, source, map[string]string{
			"go.mod":       mod,
			"cmd/g/g.go":   fmt.Sprintf("package main\n\nfunc main() { println(%q) }\n", "greeter "+version),
			"library/l.go": "package library\n",
		})
		archive, err := os.Create(filepath.Join(folder, version+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		if err := zip.CreateFromDir(archive, modpath.Version{Path: "example.com/greeter", Version: version}, source); err != nil {
			t.Fatal(err)
		}
		if err := archive.Close(); err != nil {
			t.Fatal(err)
		}
		writeFiles(t, folder, map[string]string{
			version + ".mod":  mod,
			version + ".info": fmt.Sprintf(`{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version),
		})
	}
	writeFiles(t, folder, map[string]string{"list": "v1.0.0\nv1.1.0\n"})
	t.Setenv("GOPROXY", "file://"+proxy)
	t.Setenv("GONOSUMDB", "example.com")
	// A cache of its own: another test's module has the same name.
	cache := t.TempDir()
	t.Setenv("GOMODCACHE", cache)
	t.Cleanup(func() {
		if output, err := exec.Command("go", "clean", "-modcache").CombinedOutput(); err != nil {
			t.Errorf("go clean: %v\n%s", err, output)
		}
	})
}

// writeTar makes an archive of empty files.
func writeTar(t *testing.T, path string, names ...string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	writer := tar.NewWriter(file)
	for _, name := range names {
		if err := writer.WriteHeader(&tar.Header{Name: name, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
}

// unpackRoot unpacks the root file system of what a builder would build.
func unpackRoot(t *testing.T, builder *Builder) string {
	t.Helper()
	var err error
	if err := builder.check(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(builder.Output, 0o755); err != nil {
		t.Fatal(err)
	}
	services, err := builder.appliance.programs(t.Context(), builder)
	if err != nil {
		t.Fatal(err)
	}
	built, err := builder.buildPrograms(t.Context(), services)
	if err != nil {
		t.Fatal(err)
	}
	staging := filepath.Join(t.TempDir(), "root")
	for _, file := range append(built, builder.appliance.files()...) {
		if err := stage(staging, file); err != nil {
			t.Fatal(err)
		}
	}
	return staging
}

// runProgram is what a program of the image prints.
func runProgram(t *testing.T, path string) string {
	t.Helper()
	output, err := exec.Command(path).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", path, err, output)
	}
	return strings.TrimSpace(string(output))
}

func TestAppliance(t *testing.T) {
	builder := newTinyBuilder(t)
	serveModule(t)
	var said strings.Builder
	builder.Progress = &said
	folder := t.TempDir()
	builder.Config = filepath.Join(folder, "appliance.yaml")
	text := `services:
- package: example.com/greeter/cmd/g
  version: v1.0.0
- package: example.com/greeter/cmd/g
  name: newest
- package: ./own
images: [some.tar]
`
	writeFiles(t, folder, map[string]string{
		"appliance.yaml": text,
		"own/go.mod":     "module own\n\ngo 1.24\n",
		"own/own.go":     "package main\n\nfunc main() { println(\"own\") }\n",
	})
	writeTar(t, filepath.Join(folder, "some.tar"), "layer", "./index.json")
	root := unpackRoot(t, &builder)
	for program, want := range map[string]string{"g": "greeter v1.0.0", "newest": "greeter v1.1.0", "own": "own"} {
		if got := runProgram(t, filepath.Join(root, "user", program)); got != want {
			t.Errorf("/user/%s says %q, want %q", program, got, want)
		}
	}
	if got, err := os.ReadFile(filepath.Join(root, "etc/entroos/appliance.yaml")); err != nil || string(got) != text {
		t.Errorf("the settings are %q (%v)", got, err)
	}
	if !same(t, filepath.Join(folder, "some.tar"), filepath.Join(root, "usr/share/entroos/images/some.tar")) {
		t.Error("the image is another")
	}
	if want := "the service g is of example.com/greeter v1.0.0 h1:"; !strings.Contains(said.String(), want) {
		t.Errorf("it does not say %q:\n%s", want, said.String())
	}

	// What was chosen stays chosen, and asks nobody.
	t.Setenv("GOPROXY", "off")
	root = unpackRoot(t, &builder)
	if got := runProgram(t, filepath.Join(root, "user/newest")); got != "greeter v1.1.0" {
		t.Errorf("later it says %q", got)
	}
}

// Without a file it is the example's.
func TestApplianceDefault(t *testing.T) {
	builder := newTinyBuilder(t)
	root := unpackRoot(t, &builder)
	if got, err := os.ReadFile(filepath.Join(root, "etc/entroos/appliance.yaml")); err != nil || string(got) != config.Example {
		t.Errorf("the settings are %q (%v)", got, err)
	}
}

func TestApplianceRefuses(t *testing.T) {
	serveModule(t)
	for name, test := range map[string]struct{ text, want string }{
		"unknown key":         {"colour: red\n", "appliance.yaml:1:1"},
		"absent image":        {"images: [absent.tar]\n", "the image absent.tar"},
		"compressed image":    {"images: [text.tar]\n", "no plain tar"},
		"image of another":    {"images: [empty.tar]\n", "no OCI archive"},
		"image, other name":   {"images: [some.oci]\n", "does not end in .tar"},
		"image twice":         {"images: [good.tar, ./good.tar]\n", "the same name"},
		"absent module":       {"services: [{package: example.com/absent}]\n", "the service absent: go: exit status"},
		"absent version":      {"services: [{package: example.com/greeter/cmd/g, version: v9.0.0}]\n", "the service g: go: exit status"},
		"library":             {"services: [{package: example.com/greeter/library}]\n", "is the package library and no command"},
		"absent folder":       {"services: [{package: ./absent}]\n", "the service absent"},
		"version of a folder": {"services: [{package: ./own, version: v1.0.0}]\n", "has no version v1.0.0 to choose"},
	} {
		t.Run(name, func(t *testing.T) {
			builder := newTinyBuilder(t)
			folder := t.TempDir()
			builder.Config = filepath.Join(folder, "appliance.yaml")
			writeFiles(t, folder, map[string]string{"appliance.yaml": test.text, "text.tar": strings.Repeat("text", 1000), "some.oci": ""})
			writeTar(t, filepath.Join(folder, "empty.tar"), "something")
			writeTar(t, filepath.Join(folder, "good.tar"), "manifest.json")
			_, err := builder.Build(context.Background())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestCheckFits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "uki")
	for size, fits := range map[int64]bool{maxUKI: true, maxUKI + 1: false} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if err := checkFits(path); (err == nil) != fits {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

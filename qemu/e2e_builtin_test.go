//go:build vm

package qemu_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/entroos/entroos/qemu"
)

// probe is a program for gokrazy. It says how it was started, and that it is
// not to be started again.
const probe = `package main

import (
	"fmt"
	"os"
)

func main() {
	dir, _ := os.Getwd()
	fmt.Println("probe", os.Getenv("HOME"), dir, os.Getenv("PATH"), os.Getenv("USER"), os.Getenv("GOKRAZY_FIRST_START"), os.Getenv("COLOUR"), os.Args[1:])
	os.Exit(125)
}
`

// TestBuiltIn builds an image with an appliance.yaml, a service and an OCI
// archive in it, and boots it.
func TestBuiltIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "probe"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"probe/go.mod":  "module example.com/probe\n\ngo 1.26\n",
		"probe/main.go": probe,
		"appliance.yaml": `
hostname: factory
services:
  - package: ./probe
    args: [one, two]
    env: [COLOUR=blue]
workloads:
  - name: sleeper
    image: busybox
    args: [sleep, "1000000"]
images: [` + built(t, "fixtures/busybox.tar") + `]
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command(built(t, "entroos"), "image", "build", "--quick", "--config", filepath.Join(dir, "appliance.yaml"), "--output", filepath.Join(dir, "out"))
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b := boot(t, func(c *qemu.Config) { c.Disks = []qemu.Disk{{Image: filepath.Join(dir, "out", "entroos.img")}} })
	b.until("the workload of the built-in image", func() (bool, string) {
		out := b.run("ps")
		return strings.Contains(out, "sleeper"), out
	})
	if s := b.status(); s.State != "ready" || len(s.Problems) != 0 {
		t.Errorf("the box is %+v", s)
	}
	if out := b.run("images"); !strings.Contains(out, "busybox") {
		t.Errorf("images:\n%s", out)
	}
	const want = "probe /perm/home/probe /perm/home/probe /user:/gokrazy:/bin root 1 blue [one two]\n"
	if out := b.run("services", "logs", "probe"); out != want {
		t.Errorf("the service says %q, want %q", out, want)
	}
	for line := range strings.Lines(b.run("services")) {
		if strings.HasPrefix(line, "probe ") && !strings.Contains(line, "stopped") {
			t.Errorf("a service that asked not to be started again: %s", line)
		}
	}
	var view configView
	b.get(&view, "config", "show")
	if view.Own != "" || !strings.HasPrefix(view.Effective, "hostname: factory\n") {
		t.Errorf("the settings are %+v", view)
	}
}

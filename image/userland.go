package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/entroos/entroos/image/hosttool"
)

// Program is a Go main package that is built for the root file system.
type Program struct {
	// Path is where the program lies on the root file system, absolute.
	Path string
	// Package is its import path; ./ is relative to Folder.
	Package string
	// Folder is in the module that it is built in; empty for the checkout's.
	Folder string
	// Cgo links it with C libraries, statically. Tags are its build tags.
	Cgo  bool
	Tags string
}

// grpcnotrace leaves out gRPC's pages of past requests: their templates call
// methods by name, so that the linker would keep every method of every type. It
// makes ledgerd a third smaller.
const noTemplates = "grpcnotrace"

// Stage0 is the package of the initramfs's init.
const Stage0 = "./init/stage0"

// Userland is what EntroOS's root file system carries.
func Userland() []Program {
	return []Program{
		{Path: "/init", Package: "./init"},
		{Path: "/bin/ledgerd", Package: "./cmd/ledgerd", Tags: noTemplates},
		{Path: "/bin/entroos", Package: "./cmd/entroos", Tags: "box"},
		{Path: "/gokrazy/dhcp", Package: "github.com/gokrazy/gokrazy/cmd/dhcp"},
		{Path: "/gokrazy/ntp", Package: "github.com/gokrazy/gokrazy/cmd/ntp"},
		// With libseccomp, which runc needs to filter containers' system calls, and
		// without checkpoints.
		{Path: "/bin/runc", Package: "github.com/opencontainers/runc", Cgo: true, Tags: "netgo osusergo seccomp runc_nocriu"},
	}
}

// programPath is where a program is built, in a folder that is kept between
// builds: go does not link again what is up to date.
func (b *Builder) programPath(onBox string) string {
	return filepath.Join(b.Output, "programs", strings.ReplaceAll(strings.Trim(onBox, "/"), "/", "-"))
}

// buildPrograms builds all programs.
func (b *Builder) buildPrograms(ctx context.Context, programs []Program) ([]File, error) {
	files := make([]File, 0, len(programs))
	for _, program := range programs {
		output := b.programPath(program.Path)
		if err := b.buildProgram(ctx, program, output); err != nil {
			return nil, err
		}
		files = append(files, File{Path: program.Path, Mode: 0o755, Source: output})
	}
	return files, nil
}

// buildProgram builds one program: static, without symbols, paths or the state
// of version control, and for every x86-64.
func (b *Builder) buildProgram(ctx context.Context, program Program, output string) error {
	b.say("building %s", program.Package)
	flags := "-s -w"
	cgo := "CGO_ENABLED=0"
	if program.Cgo {
		cgo = "CGO_ENABLED=1"
		flags += " -linkmode external -extldflags -static"
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-tags", program.Tags, "-o", output, program.Package}
	if err := run(ctx, command{name: "go", args: args, folder: b.folder(program), environment: goEnvironment(cgo)}); err != nil {
		return fmt.Errorf("building %s: %w", program.Package, err)
	}
	return nil
}

// folder is where go builds a program.
func (b *Builder) folder(program Program) string {
	if program.Folder != "" {
		return program.Folder
	}
	return b.Source
}

// goEnvironment is go's when it builds for the box. GOFLAGS and the C compiler's
// settings may hold what changes the bytes, and a workspace other modules.
func goEnvironment(more ...string) []string {
	return slices.Concat(os.Environ(), []string{
		"GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=", "GOWORK=off",
		"CC=", "CGO_CFLAGS=", "CGO_CPPFLAGS=", "CGO_LDFLAGS=",
	}, more)
}

// runGo runs go in a folder.
func (b *Builder) runGo(ctx context.Context, folder string, args ...string) error {
	return run(ctx, command{name: "go", args: args, folder: folder, environment: goEnvironment("CGO_ENABLED=0")})
}

// askGo is what go prints.
func (b *Builder) askGo(ctx context.Context, folder string, args ...string) (string, error) {
	path, err := hosttool.Look("go")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = folder
	cmd.Env = goEnvironment("CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(output)), nil
}

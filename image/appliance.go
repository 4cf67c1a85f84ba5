package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/entroos/entroos/appliance/config"
)

// Where the box looks for what its appliance.yaml has built in.
const (
	applianceFile  = "/etc/entroos/appliance.yaml"
	imagesFolder   = "/usr/share/entroos/images"
	servicesFolder = "/user"
)

// appliance is what an appliance.yaml puts into the image.
type appliance struct {
	text     []byte
	folder   string // of the file: what it names is relative to it
	services []config.Service
	images   []string // OCI archives, paths on the build machine
}

// readAppliance reads and checks an appliance.yaml; without a path it is the
// example, which says what the box does by itself.
func readAppliance(path string) (*appliance, error) {
	if path == "" {
		return &appliance{text: []byte(config.Example)}, nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the box's settings: %w", err)
	}
	parsed, err := config.ParseBuiltIn(path, text)
	if err != nil {
		return nil, err
	}
	a := &appliance{text: text, folder: filepath.Dir(path), services: parsed.Services}
	names := map[string]string{}
	for _, name := range parsed.Images {
		archive := name
		if !filepath.IsAbs(archive) {
			archive = filepath.Join(a.folder, name)
		}
		if err := checkArchive(archive); err != nil {
			return nil, fmt.Errorf("%s: the image %s: %w", path, name, err)
		}
		if other := names[filepath.Base(name)]; other != "" {
			return nil, fmt.Errorf("%s: the images %s and %s have the same name", path, other, name)
		}
		names[filepath.Base(name)] = name
		a.images = append(a.images, archive)
	}
	return a, nil
}

// checkArchive refuses what the box could not import: it looks for *.tar, and
// seeks in them.
func checkArchive(path string) error {
	if filepath.Ext(path) != ".tar" {
		return errors.New("its name does not end in .tar")
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return errors.New("it is no OCI archive and none of docker save: it has neither index.json nor manifest.json")
		}
		if err != nil {
			return fmt.Errorf("it is no plain tar (compressed ones are to be unpacked): %w", err)
		}
		if slices.Contains([]string{"index.json", "manifest.json"}, strings.TrimPrefix(header.Name, "./")) {
			return nil
		}
	}
}

// files are those that lie on the root file system; not the services' programs.
func (a *appliance) files() []File {
	all := []File{{Path: applianceFile, Mode: 0o644, Content: string(a.text)}}
	for _, archive := range a.images {
		all = append(all, File{Path: imagesFolder + "/" + filepath.Base(archive), Mode: 0o644, Source: archive})
	}
	return all
}

// lockFolder is where, beside the appliance.yaml, each service has a go.mod and
// go.sum of its own, as gokrazy has it: with them, later builds take the same
// versions.
const lockFolder = "builddir"

// programs prepares the services for building: each package is of a module of
// its own, in the version asked for.
func (a *appliance) programs(ctx context.Context, b *Builder) ([]Program, error) {
	programs := make([]Program, 0, len(a.services))
	for _, service := range a.services {
		program, err := a.program(ctx, b, service)
		if err != nil {
			return nil, fmt.Errorf("the service %s: %w", service.Name, err)
		}
		programs = append(programs, program)
	}
	return programs, nil
}

func (a *appliance) program(ctx context.Context, b *Builder, service config.Service) (Program, error) {
	program := Program{Path: servicesFolder + "/" + service.Name, Package: service.Package}
	if local(service.Package) {
		if service.Version != "" {
			return Program{}, fmt.Errorf("%s is a folder: it has no version %s to choose", service.Package, service.Version)
		}
		program.Folder, program.Package = service.Package, "."
		if !filepath.IsAbs(program.Folder) {
			program.Folder = filepath.Join(a.folder, service.Package)
		}
		return program, b.checkCommand(ctx, program)
	}
	program.Folder = filepath.Join(a.folder, lockFolder, service.Name)
	if err := os.MkdirAll(program.Folder, 0o755); err != nil {
		return Program{}, err
	}
	if _, err := os.Stat(filepath.Join(program.Folder, "go.mod")); errors.Is(err, fs.ErrNotExist) {
		if err := b.runGo(ctx, program.Folder, "mod", "init", "entroos/build/"+service.Name); err != nil {
			return Program{}, err
		}
	} else if err != nil {
		return Program{}, err
	}
	version, err := b.askGo(ctx, program.Folder, "list", "-f", "{{.Module.Version}}", service.Package)
	if err != nil || service.Version != "" && version != service.Version {
		wanted := service.Package + "@latest"
		if service.Version != "" {
			wanted = service.Package + "@" + service.Version
		}
		b.say("getting %s", wanted)
		if err := b.runGo(ctx, program.Folder, "get", wanted); err != nil {
			return Program{}, err
		}
	}
	module, err := b.askGo(ctx, program.Folder, "list", "-f", "{{.Module.Path}} {{.Module.Version}}", service.Package)
	if err != nil {
		return Program{}, err
	}
	sum, err := sumOf(filepath.Join(program.Folder, "go.sum"), module)
	if err != nil {
		return Program{}, err
	}
	b.say("the service %s is of %s %s", service.Name, module, sum)
	return program, b.checkCommand(ctx, program)
}

// local says whether a package is a folder and no import path.
func local(pkg string) bool {
	return filepath.IsAbs(pkg) || pkg == "." || pkg == ".." || strings.HasPrefix(pkg, "./") || strings.HasPrefix(pkg, "../")
}

// checkCommand refuses packages that make no program.
func (b *Builder) checkCommand(ctx context.Context, program Program) error {
	name, err := b.askGo(ctx, program.Folder, "list", "-f", "{{.Name}}", program.Package)
	if err == nil && name != "main" {
		err = fmt.Errorf("%s is the package %s and no command", program.Package, name)
	}
	return err
}

// sumOf is a module's line in go.sum: "path version" to "h1:…".
func sumOf(file, module string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if sum, found := strings.CutPrefix(strings.TrimSpace(line), module+" "); found {
			return sum, nil
		}
	}
	return "", fmt.Errorf("%s has no line for %s", file, module)
}

package sbom

import (
	"debug/buildinfo"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"golang.org/x/mod/module"
)

// mainModule is EntroOS's own.
const mainModule = "github.com/entroos/entroos"

// addProgram adds a Go program and the modules that its build information names:
// those that have a package in it.
func (l *list) addProgram(program File) error {
	info, err := buildinfo.ReadFile(program.Path)
	if err != nil {
		return err
	}
	hash, err := hashFile(program.Path)
	if err != nil {
		return err
	}
	component := cdx.Component{
		BOMRef: "program:" + program.Name, Type: cdx.ComponentTypeApplication, Name: program.Name,
		Version: l.version(info.Main), Description: info.Path, Hashes: hashes(hash),
	}
	settings := []cdx.Property{{Name: "entroos:go:version", Value: info.GoVersion}}
	for _, setting := range info.Settings {
		if slices.Contains([]string{"-tags", "CGO_ENABLED", "GOAMD64"}, setting.Key) {
			settings = append(settings, cdx.Property{Name: "entroos:go:" + strings.TrimPrefix(setting.Key, "-"), Value: setting.Value})
		}
	}
	component.Properties = &settings
	if component.Licenses, err = l.moduleLicences(info.Main); err != nil {
		return err
	}
	l.add(component)
	l.top = append(l.top, component.BOMRef)

	standard := cdx.Component{
		Type: cdx.ComponentTypeLibrary, Name: "std", Version: strings.TrimPrefix(info.GoVersion, "go"), Licenses: licences("BSD-3-Clause"),
	}
	standard.PackageURL = "pkg:golang/std@" + standard.Version
	standard.BOMRef = standard.PackageURL
	l.add(standard)
	needs := []string{standard.BOMRef}
	modules := info.Deps
	if info.Main.Path != mainModule && info.Main.Path != "" {
		modules = append([]*debug.Module{&info.Main}, modules...)
	}
	for _, linked := range modules {
		if linked.Replace != nil {
			linked = linked.Replace
		}
		if linked.Path == mainModule {
			continue
		}
		library, err := l.moduleComponent(*linked)
		if err != nil {
			return err
		}
		l.add(library)
		needs = append(needs, library.BOMRef)
	}
	l.depend(component.BOMRef, needs)
	return nil
}

// version of a module; EntroOS's own is not in its build information.
func (l *list) version(m debug.Module) string {
	if m.Path == mainModule {
		return l.contents.Version
	}
	return m.Version
}

func (l *list) moduleComponent(m debug.Module) (cdx.Component, error) {
	component := cdx.Component{Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version}
	component.PackageURL = "pkg:golang/" + m.Path + "@" + escape(m.Version)
	component.BOMRef = component.PackageURL
	if m.Sum != "" {
		component.Properties = &[]cdx.Property{{Name: "entroos:go:sum", Value: m.Sum}}
	}
	var err error
	component.Licenses, err = l.moduleLicences(m)
	return component, err
}

// moduleLicences reads a module's licence where the module cache has it.
func (l *list) moduleLicences(m debug.Module) (*cdx.Licenses, error) {
	var files []string
	if m.Path == mainModule {
		files = []string{l.contents.Licence}
	} else {
		escaped, err := module.EscapePath(m.Path)
		if err != nil {
			return nil, nil // a local folder in a module's place
		}
		version, err := module.EscapeVersion(m.Version)
		if err != nil {
			return nil, nil // as above: "(devel)"
		}
		folder := filepath.Join(l.contents.Modules, filepath.FromSlash(escaped)+"@"+version)
		for _, pattern := range []string{"LICENSE*", "LICENCE*", "COPYING*", "License*", "LICENSES/*"} {
			found, err := filepath.Glob(filepath.Join(folder, pattern))
			if err != nil {
				return nil, err
			}
			files = append(files, found...)
		}
	}
	var all cdx.Licenses
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EISDIR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		choice := cdx.LicenseChoice{License: &cdx.License{ID: identify(string(text))}}
		known := slices.ContainsFunc(all, func(other cdx.LicenseChoice) bool { return other.License.ID == choice.License.ID })
		if choice.License.ID != "" && !known {
			all = append(all, choice)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	return &all, nil
}

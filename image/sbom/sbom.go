// Package sbom writes the list of what an image is made of, in CycloneDX's JSON:
// each program with the Go modules that are really linked into it, and each
// Debian package that something was taken from.
package sbom

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"

	"github.com/entroos/entroos/image/debian"
)

// Contents is what the list is made from. The same contents give the same bytes.
type Contents struct {
	// Version is the image's.
	Version string
	// Time stands in the list as when it was made.
	Time time.Time
	// Output is the file the list is of, and its path on the build machine.
	Output File
	// Programs are Go programs on the box.
	Programs []File
	// Modules is the folder of Go's module cache, where licences are read;
	// Licence is the path of the main module's own.
	Modules, Licence string
	// Inputs are what else went in.
	Inputs []Input
	// Tools are the packages that wrote the image.
	Tools []debian.Package
}

// File is a file by its name in the list, and its path on the build machine.
type File struct{ Name, Path string }

// Input is something that is no Go program.
type Input struct {
	// Role says what it is on the box.
	Role string
	// Kind is one of CycloneDX's component types.
	Kind cdx.ComponentType
	// Package is where it comes from; Name alone where that is not known.
	Package debian.Package
	// Licence is an SPDX expression, or a name that is no SPDX identifier.
	Licence string
	// Path is a file of the build machine whose hash is given; empty for none.
	Path string
}

// Write writes the list.
func Write(output io.Writer, contents Contents) error {
	l := list{contents: contents, seen: map[string]bool{}}
	whole, err := l.whole()
	if err != nil {
		return err
	}
	for _, program := range contents.Programs {
		if err := l.addProgram(program); err != nil {
			return fmt.Errorf("%s: %w", program.Name, err)
		}
	}
	for _, input := range contents.Inputs {
		if err := l.addInput(input); err != nil {
			return fmt.Errorf("%s: %w", input.Role, err)
		}
	}
	byRef := func(a, b cdx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) }
	slices.SortFunc(l.components, byRef)
	l.depend(whole.BOMRef, l.top)
	slices.SortFunc(l.dependencies, func(a, b cdx.Dependency) int { return cmp.Compare(a.Ref, b.Ref) })
	tools := make([]cdx.Component, 0, len(contents.Tools))
	for _, tool := range contents.Tools {
		tools = append(tools, debianComponent(tool, cdx.ComponentTypeApplication))
	}
	slices.SortFunc(tools, byRef)

	bom := cdx.NewBOM()
	bom.SpecVersion = cdx.SpecVersion1_6
	bom.JSONSchema = "http://cyclonedx.org/schema/bom-1.6.schema.json"
	// Derived from the image: another image has another.
	digest := (*whole.Hashes)[0].Value
	bom.SerialNumber = "urn:uuid:" + uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/entroos/entroos#"+digest)).String()
	bom.Metadata = &cdx.Metadata{
		Timestamp: contents.Time.UTC().Format(time.RFC3339),
		Component: &whole,
		Tools:     &cdx.ToolsChoice{Components: &tools},
	}
	bom.Components = &l.components
	bom.Dependencies = &l.dependencies
	var text bytes.Buffer
	encoder := cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(bom); err != nil {
		return err
	}
	_, err = output.Write(text.Bytes())
	return err
}

// list is the list while it is made.
type list struct {
	contents     Contents
	components   []cdx.Component
	dependencies []cdx.Dependency
	top          []string // what the whole depends on
	seen         map[string]bool
}

// whole is the image itself.
func (l *list) whole() (cdx.Component, error) {
	hash, err := hashFile(l.contents.Output.Path)
	if err != nil {
		return cdx.Component{}, err
	}
	return cdx.Component{
		BOMRef: "entroos", Type: cdx.ComponentTypeOS, Name: "EntroOS", Version: l.contents.Version,
		Description: l.contents.Output.Name, Licenses: licences("Apache-2.0"), Hashes: hashes(hash),
	}, nil
}

func (l *list) add(component cdx.Component) {
	if !l.seen[component.BOMRef] {
		l.seen[component.BOMRef] = true
		l.components = append(l.components, component)
	}
}

func (l *list) depend(ref string, on []string) {
	on = slices.Compact(slices.Sorted(slices.Values(on)))
	l.dependencies = append(l.dependencies, cdx.Dependency{Ref: ref, Dependencies: &on})
}

func (l *list) addInput(input Input) error {
	component := debianComponent(input.Package, input.Kind)
	component.Description = input.Role
	component.Licenses = licences(input.Licence)
	if input.Path != "" {
		hash, err := hashFile(input.Path)
		if err != nil {
			return err
		}
		// One package may give several parts.
		component.BOMRef += "#" + input.Role
		component.Hashes = hashes(hash)
	}
	l.add(component)
	l.top = append(l.top, component.BOMRef)
	return nil
}

// debianComponent describes a package by what Debian calls it.
func debianComponent(p debian.Package, kind cdx.ComponentType) cdx.Component {
	component := cdx.Component{Type: kind, Name: p.Name, Version: p.Version, BOMRef: p.Name}
	if p.Version == "" {
		return component
	}
	component.PackageURL = fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", p.Name, escape(p.Version), p.Architecture)
	if p.Source != p.Name || p.SourceVersion != p.Version {
		component.PackageURL += "&upstream=" + escape(p.Source+"@"+p.SourceVersion)
	}
	component.BOMRef = component.PackageURL
	component.Supplier = &cdx.OrganizationalEntity{Name: "Debian"}
	properties := []cdx.Property{
		{Name: "entroos:debian:source", Value: p.Source},
		{Name: "entroos:debian:source-version", Value: p.SourceVersion},
	}
	component.Properties = &properties
	if p.SHA256 != "" {
		component.Hashes = hashes(p.SHA256)
	}
	return component
}

// escape is the percent encoding of package URLs, for what Debian's versions
// have beside letters, digits and .-~.
func escape(text string) string {
	return strings.NewReplacer("%", "%25", "+", "%2B", ":", "%3A", "@", "%40").Replace(text)
}

// licences puts one licence in CycloneDX's form: what looks like an SPDX
// expression as one, anything else as a name.
func licences(licence string) *cdx.Licenses {
	switch {
	case licence == "":
		return nil
	case strings.HasPrefix(licence, "LicenseRef-"):
		return &cdx.Licenses{{License: &cdx.License{Name: strings.TrimPrefix(licence, "LicenseRef-")}}}
	case strings.Contains(licence, " "):
		return &cdx.Licenses{{Expression: licence}}
	}
	return &cdx.Licenses{{License: &cdx.License{ID: licence}}}
}

func hashes(sha256 string) *[]cdx.Hash {
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sha256}}
}

func hashFile(path string) (_ string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

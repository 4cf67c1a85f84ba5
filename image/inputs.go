package image

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/entroos/entroos/image/debian"
	"github.com/entroos/entroos/image/hosttool"
	"github.com/entroos/entroos/image/sbom"
)

// input is a file of the build machine that goes into the image, or is linked
// into a program in it.
type input struct {
	role, path string
	kind       cdx.ComponentType
	licence    string // SPDX
	// packaged names the package where its files do not tell.
	packaged string
}

// inputs are what comes from the build machine's own packages.
func (b *Builder) inputs(ctx context.Context) ([]input, error) {
	all := []input{
		{role: "boot loader", path: bootLoader, kind: cdx.ComponentTypeFirmware, licence: "LGPL-2.1-or-later"},
		{role: "boot stub", path: bootStub, kind: cdx.ComponentTypeFirmware, licence: "LGPL-2.1-or-later"},
		{role: "/bin/e2fsck", path: staticE2fsck, kind: cdx.ComponentTypeApplication, licence: "GPL-2.0-only"},
		// The bundle of them is made when the package is installed.
		{role: "certificate authorities", path: caCertificates, kind: cdx.ComponentTypeData, licence: "MPL-2.0", packaged: "ca-certificates"},
	}
	if b.KernelSource != "" {
		all = append(all, input{
			role: "kernel", path: b.KernelSource, kind: cdx.ComponentTypeOS, licence: "GPL-2.0-only WITH Linux-syscall-note",
		})
	}
	if slices.ContainsFunc(b.Userland, func(p Program) bool { return p.Cgo }) {
		for _, library := range []struct{ file, licence string }{
			{"libseccomp.a", "LGPL-2.1-only"}, {"libc.a", "LGPL-2.1-or-later"},
		} {
			path, err := exec.CommandContext(ctx, "gcc", "-print-file-name="+library.file).Output()
			if err != nil {
				return nil, fmt.Errorf("looking for %s: %w", library.file, err)
			}
			all = append(all, input{
				role: library.file + " in /bin/runc", path: filepath.Clean(strings.TrimSpace(string(path))),
				kind: cdx.ComponentTypeLibrary, licence: library.licence,
			})
		}
	}
	return all, nil
}

// owner is the package an input comes from: without a version where the build
// machine is no Debian.
func (i input) owner(ctx context.Context) (debian.Package, error) {
	var owner debian.Package
	var err error
	if i.packaged != "" {
		owner, err = debian.Installed(ctx, i.packaged)
	} else {
		owner, err = debian.Owner(ctx, i.path)
	}
	if errors.Is(err, debian.ErrUnknown) {
		return debian.Package{Name: filepath.Base(i.path)}, nil
	}
	return owner, err
}

// licenceFiles are the licences of what comes from Debian, as it ships them.
func (b *Builder) licenceFiles(ctx context.Context) ([]File, error) {
	inputs, err := b.inputs(ctx)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, i := range inputs {
		owner, err := i.owner(ctx)
		if err != nil {
			return nil, err
		}
		file := File{Path: "/usr/share/licenses/" + owner.Name + "/copyright", Mode: 0o644, Source: debian.CopyrightFile(owner.Name)}
		known := slices.ContainsFunc(files, func(f File) bool { return f.Path == file.Path })
		if owner.Version != "" && !known {
			files = append(files, file)
		}
	}
	return files, nil
}

// firmwareLicences are those of the packages of firmware.
var firmwareLicences = map[string]struct{ role, licence string }{
	"intel-microcode":  {"processors' microcode", "LicenseRef-Intel microcode redistribution licence"},
	"firmware-realtek": {"network cards' firmware", "LicenseRef-binary-redist-Realtek-permissive"},
}

// contents is what the image is made of, for its bill of materials.
func (b *Builder) contents(ctx context.Context, uki string) (sbom.Contents, error) {
	goCommand, err := hosttool.Look("go")
	if err != nil {
		return sbom.Contents{}, err
	}
	modules, err := exec.CommandContext(ctx, goCommand, "env", "GOMODCACHE").Output()
	if err != nil {
		return sbom.Contents{}, fmt.Errorf("go env: %w", err)
	}
	contents := sbom.Contents{
		Version: b.Version, Time: epoch,
		Output:  sbom.File{Name: "entroos-" + b.Version + ".efi", Path: uki},
		Modules: strings.TrimSpace(string(modules)), Licence: filepath.Join(b.Source, "LICENSE"),
		Programs: []sbom.File{{Name: "stage0", Path: b.programPath("stage0")}},
	}
	for _, program := range b.programs {
		contents.Programs = append(contents.Programs, sbom.File{Name: program.Path, Path: b.programPath(program.Path)})
	}
	inputs, err := b.inputs(ctx)
	if err != nil {
		return sbom.Contents{}, err
	}
	for _, i := range inputs {
		owner, err := i.owner(ctx)
		if err != nil {
			return sbom.Contents{}, err
		}
		contents.Inputs = append(contents.Inputs, sbom.Input{Role: i.role, Kind: i.kind, Package: owner, Licence: i.licence, Path: i.path})
	}
	if b.KernelSource == "" {
		contents.Inputs = append(contents.Inputs, sbom.Input{
			Role: "kernel", Kind: cdx.ComponentTypeOS, Package: debian.Package{Name: "bzImage"}, Path: b.Kernel,
		})
	}
	for _, p := range b.Firmware.Packages {
		known := firmwareLicences[p.Name]
		contents.Inputs = append(contents.Inputs, sbom.Input{
			Role: known.role, Kind: cdx.ComponentTypeFirmware, Package: p, Licence: known.licence,
		})
	}
	contents.Tools, err = tools(ctx)
	return contents, err
}

// tools are the packages of the programs that write the image, as far as they
// are Debian's: other versions may write other bytes.
func tools(ctx context.Context) ([]debian.Package, error) {
	var all []debian.Package
	for _, name := range []string{"gcc", "ld", "mksquashfs", "objcopy", "sgdisk", "mkfs.vfat", "mcopy", "mke2fs"} {
		path, err := hosttool.Look(name)
		if err != nil {
			return nil, err
		}
		owner, err := debian.Owner(ctx, path)
		if errors.Is(err, debian.ErrUnknown) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, owner) {
			all = append(all, owner)
		}
	}
	return all, nil
}

package debian

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strings"

	"github.com/entroos/entroos/image/hosttool"
)

// Describe reads a .deb's own description.
func Describe(ctx context.Context, deb string) (Package, error) {
	if err := hosttool.Require("dpkg-deb"); err != nil {
		return Package{}, err
	}
	const format = "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n"
	output, err := exec.CommandContext(ctx, "dpkg-deb", "--show", "--showformat", format, deb).Output()
	fields := strings.Split(strings.TrimRight(string(output), "\n"), "\t")
	if err != nil || len(fields) != 5 {
		return Package{}, fmt.Errorf("reading the package %s: %w (%q)", deb, err, output)
	}
	hash, err := hashFile(deb)
	return Package{
		Name: fields[0], Version: fields[1], Architecture: fields[2], Source: fields[3], SourceVersion: fields[4], SHA256: hash,
	}, err
}

// Files reads the regular files of a .deb that are wanted, by their absolute
// paths. Where a package has files below /usr that are at / on an older Debian,
// they are given as at /.
func Files(ctx context.Context, deb string, wanted func(path string) bool) (files map[string][]byte, err error) {
	if err := hosttool.Require("dpkg-deb"); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	files, err = readTar(output, wanted)
	if err != nil {
		// dpkg-deb may be blocked on what was not read.
		_ = cmd.Process.Kill()
	}
	if waitErr := cmd.Wait(); waitErr != nil && err == nil {
		err = fmt.Errorf("%w: %s", waitErr, strings.TrimSpace(stderr.String()))
	}
	if err != nil {
		return nil, fmt.Errorf("unpacking the package %s: %w", deb, err)
	}
	return files, nil
}

// maxFile is more than any file of a package that the image takes.
const maxFile = 16 << 20

func readTar(source io.Reader, wanted func(string) bool) (map[string][]byte, error) {
	files := map[string][]byte{}
	reader := tar.NewReader(source)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			// To its end, so that its writer ends well.
			_, err := io.Copy(io.Discard, source)
			return files, err
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean("/" + header.Name)
		if short, found := strings.CutPrefix(name, "/usr/lib/"); found {
			name = "/lib/" + short
		}
		if header.Typeflag != tar.TypeReg || !wanted(name) {
			continue
		}
		if header.Size > maxFile {
			return nil, fmt.Errorf("%s has %d bytes", name, header.Size)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			return nil, err
		}
		files[name] = content
	}
}

// CopyrightFile is where an installed package's licences lie.
func CopyrightFile(name string) string { return "/usr/share/doc/" + name + "/copyright" }

package kernelconfig

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/entroos/entroos/image/hosttool"
)

// recipe is what decides the kernel's bytes beside source, options and compiler.
// It is part of the cache's key: changing it builds anew.
var recipe = struct {
	// environment replaces what the caller's environment says.
	environment map[string]string
	// variables are given to each make.
	variables map[string]string
}{
	environment: map[string]string{
		"LC_ALL": "C",
		"TZ":     "UTC",
		// Who, where and when would otherwise stand in /proc/version.
		"KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 2026",
		"KBUILD_BUILD_USER":      "entroos",
		"KBUILD_BUILD_HOST":      "entroos",
		"KBUILD_BUILD_VERSION":   "1",
	},
	variables: map[string]string{
		"ARCH": "x86_64",
		// Kconfig writes the versions of these into .config, and that into the
		// kernel, though nothing here is built with them.
		"RUSTC":  "false",
		"PAHOLE": "false",
	},
}

// inherited are the variables of the caller's environment that the build sees.
// All others stay away: make's own flags when make called us, and the many
// variables that change what Kbuild builds.
var inherited = []string{"PATH", "HOME", "TMPDIR", "CCACHE_DIR", "CCACHE_MAXSIZE", "XDG_CACHE_HOME"}

// buildEnvironment is the environment of every program of the build.
func buildEnvironment(caller []string) []string {
	var environment []string
	for _, entry := range caller {
		name, _, _ := strings.Cut(entry, "=")
		for _, wanted := range inherited {
			if name == wanted {
				environment = append(environment, entry)
			}
		}
	}
	return append(environment, sortedPairs(recipe.environment)...)
}

// makeVariables are the recipe's arguments for make.
func makeVariables() []string {
	return sortedPairs(recipe.variables)
}

func sortedPairs(values map[string]string) []string {
	pairs := make([]string, 0, len(values))
	for name, value := range values {
		pairs = append(pairs, name+"="+value)
	}
	sort.Strings(pairs)
	return pairs
}

// Key is the hash of all that decides the kernel's bytes: options (not their
// comments), source, compiler, linker and recipe. 64 hexadecimal digits.
func (b *Builder) Key(ctx context.Context) (string, error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "options\n%s", Text(b.Fragments))
	fmt.Fprintf(hash, "recipe\n%q\n%q\n", sortedPairs(recipe.environment), makeVariables())
	for _, tool := range []string{"gcc", "ld"} {
		if err := hosttool.Require(tool); err != nil {
			return "", err
		}
		output, err := command(ctx, "", tool, "--version").Output()
		if err != nil {
			return "", fmt.Errorf("%s --version: %w", tool, err)
		}
		version, _, _ := strings.Cut(string(output), "\n")
		fmt.Fprintf(hash, "%s\n%s\n", tool, version)
	}
	source, err := b.hashSource()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(hash, "source\n%x\n", source)
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// hashSource is the SHA-256 of the source's tarball.
func (b *Builder) hashSource() ([]byte, error) {
	file, err := os.Open(b.Source)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the kernel's source: %w", &hosttool.MissingError{Names: []string{b.Source}})
	}
	if err != nil {
		return nil, fmt.Errorf("the kernel's source: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return nil, fmt.Errorf("reading the kernel's source: %w", err)
	}
	return hash.Sum(nil), nil
}

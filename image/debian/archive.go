package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/entroos/entroos/image/hosttool"
)

// Keyring is where Debian's package debian-archive-keyring puts the keys that
// Debian signs its archive with.
const Keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Pin is the one version of a package that is wanted.
type Pin struct {
	Name, Version string
	// SHA256 of the .deb in hexadecimal.
	SHA256 string
	// Suite is where the newest is taken from when there is no version; empty for
	// where apt would.
	Suite string
}

// selector is how apt is asked for it.
func (p Pin) selector() string {
	switch {
	case p.Version != "":
		return p.Name + "=" + p.Version
	case p.Suite != "":
		return p.Name + "/" + p.Suite
	}
	return p.Name
}

// Source is one entry of apt's source lists.
type Source struct {
	URI       string
	Suites    []string
	Component string
	// Keyring is the path of the keys that sign it.
	Keyring string
	// Old says that its signature's date may be long ago.
	Old bool
}

func (s Source) String() string {
	return fmt.Sprintf("%s (%s, %s)", s.URI, strings.Join(s.Suites, ", "), s.Component)
}

// Archive fetches packages with an apt configuration of its own: the machine's
// sources and lists are neither read nor changed. Its proxies and credentials
// are used.
type Archive struct {
	// Cache is the folder where packages are kept, by their SHA-256.
	Cache string
	// Mirrors are asked in turn, each with all of its sources.
	Mirrors [][]Source
	// Progress is told of downloads; nil for silence.
	Progress func(text string)
}

// UnavailableError says that a package could not be had.
type UnavailableError struct {
	Pin    Pin
	Reason error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("the Debian package %s is not to be had: %v", e.Pin.selector(), e.Reason)
}

func (e *UnavailableError) Unwrap() error { return e.Reason }

// Fetch returns the paths of the pinned packages' .debs in the cache, fetching
// what is not there. A pin without a version is for the newest there is, and
// asks the archive each time. The error is an *UnavailableError when a package
// cannot be had.
func (a *Archive) Fetch(ctx context.Context, pins ...Pin) ([]string, error) {
	paths := make([]string, len(pins))
	missing := false
	for i, pin := range pins {
		if pin.SHA256 == "" {
			missing = true
			continue
		}
		path := a.path(pin.SHA256)
		switch hash, err := hashFile(path); {
		case errors.Is(err, os.ErrNotExist):
			missing = true
		case err != nil:
			return nil, err
		case hash != pin.SHA256:
			return nil, fmt.Errorf("%s is damaged: remove it", path)
		default:
			paths[i] = path
		}
	}
	if !missing {
		return paths, nil
	}
	if err := hosttool.Require("apt-get", "dpkg-deb"); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(a.Cache, 0o755); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(a.Cache, "lock"))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return nil, fmt.Errorf("locking %s: %w", a.Cache, err)
	}
	defer lock.Unlock() //nolint:errcheck // closing the file releases it too, and nothing was written to it

	var reasons []error
	for _, sources := range a.Mirrors {
		err := a.fetchFrom(ctx, sources, pins, paths)
		if err == nil || ctx.Err() != nil {
			return paths, err
		}
		reasons = append(reasons, err)
	}
	for i, pin := range pins {
		if paths[i] == "" {
			return nil, &UnavailableError{Pin: pin, Reason: errors.Join(reasons...)}
		}
	}
	return nil, errors.Join(reasons...)
}

// fetchFrom fetches what paths still lacks from one mirror.
func (a *Archive) fetchFrom(ctx context.Context, sources []Source, pins []Pin, paths []string) (err error) {
	work, err := os.MkdirTemp(a.Cache, ".apt-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	apt, err := newPrivateApt(work, sources)
	if err != nil {
		return err
	}
	a.say("asking " + sources[0].URI)
	if _, err := apt.run(ctx, "update"); err != nil {
		return err
	}
	for i, pin := range pins {
		if paths[i] != "" {
			continue
		}
		if paths[i], err = a.download(ctx, apt, pin); err != nil {
			return err
		}
	}
	return nil
}

// download has apt fetch one package, and puts it into the cache.
func (a *Archive) download(ctx context.Context, apt *privateApt, pin Pin) (string, error) {
	name := pin.selector()
	a.say("fetching " + name)
	folder, err := os.MkdirTemp(apt.folder, "deb-")
	if err != nil {
		return "", err
	}
	// apt checks the package against the signed index.
	if _, err := apt.runIn(ctx, folder, "download", name); err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(folder, "*.deb"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("apt-get download %s left %v (%w)", name, found, err)
	}
	hash, err := hashFile(found[0])
	if err != nil {
		return "", err
	}
	if pin.SHA256 != "" && hash != pin.SHA256 {
		return "", fmt.Errorf("%s has the SHA-256 %s, want %s: it is not the file that was pinned", name, hash, pin.SHA256)
	}
	return a.path(hash), os.Rename(found[0], a.path(hash))
}

func (a *Archive) path(hash string) string { return filepath.Join(a.Cache, hash+".deb") }

func (a *Archive) say(text string) {
	if a.Progress != nil {
		a.Progress(text)
	}
}

// hashFile is a file's SHA-256 in hexadecimal.
func hashFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// privateApt is apt with its own sources, lists and cache in one folder.
type privateApt struct {
	folder, config string
}

// newPrivateApt writes its configuration. It is read after the machine's own,
// whose proxies and credentials so stay.
func newPrivateApt(folder string, sources []Source) (*privateApt, error) {
	for _, name := range []string{"sources", "lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o755); err != nil {
			return nil, err
		}
	}
	var list strings.Builder
	for _, s := range sources {
		fmt.Fprintf(&list, "Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s\n",
			s.URI, strings.Join(s.Suites, " "), s.Component, s.Keyring)
		if s.Old {
			list.WriteString("Check-Valid-Until: no\n")
		}
		list.WriteString("\n")
	}
	if err := os.WriteFile(filepath.Join(folder, "sources", "debian.sources"), []byte(list.String()), 0o644); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "%[1]s/sources";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "%[1]s";
Dir::State::Lists "%[1]s/lists";
Dir::State::Status "/dev/null";
Dir::Cache "%[1]s";
Dir::Cache::Archives "%[1]s/archives";
Dir::Log "%[1]s";
APT::Architecture "amd64";
APT::Default-Release "";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
`, folder)
	path := filepath.Join(folder, "apt.conf")
	return &privateApt{folder: folder, config: path}, os.WriteFile(path, []byte(config), 0o644)
}

func (p *privateApt) run(ctx context.Context, args ...string) ([]byte, error) {
	return p.runIn(ctx, p.folder, args...)
}

// runIn runs apt-get in a folder. What apt says is in the error.
func (p *privateApt) runIn(ctx context.Context, folder string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"--quiet", "--config-file", p.config}, args...)...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return output, nil
}

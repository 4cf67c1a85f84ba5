// Package firmware brings in what EntroOS's hardware needs that is not free
// software: the network cards' firmware and the processors' microcode, from
// Debian's non-free-firmware.
package firmware

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/entroos/entroos/image/debian"
)

// The packages, in the versions that images are built with. `entroos image build
// --firmware newest` takes the newest that Debian has instead.
var (
	microcodePin = debian.Pin{
		Name: "intel-microcode", Version: "3.20251111.1~deb12u1",
		SHA256: "0c3227e105b4b7dd857159afe45d06ca602954d562c681430bdce866f23e1d40",
	}
	// The backports', which has the files that Linux 6.12 asks for.
	realtekPin = debian.Pin{
		Name: "firmware-realtek", Version: "20250410-2~bpo12+1",
		SHA256: "3a8b6761fcdff4c69a0145de8b684608083e0fcba3ca2433a43da36354880dc9",
	}
)

// wanted is a package and the suites that have it. Each package is asked for
// alone: a suite that a mirror no longer has must not spoil the other's.
type wanted struct {
	pin, newest      debian.Pin
	suites, security []string
	// archived are the suites that have it where old versions are kept.
	archived []string
}

var (
	microcodeWanted = wanted{
		pin: microcodePin, newest: debian.Pin{Name: microcodePin.Name},
		suites: []string{"bookworm", "bookworm-updates"}, security: []string{"bookworm-security"}, archived: []string{"bookworm"},
	}
	// apt takes packages from the backports only when told to.
	realtekWanted = wanted{
		pin: realtekPin, newest: debian.Pin{Name: realtekPin.Name, Suite: "bookworm-backports"},
		suites: []string{"bookworm-backports"}, archived: []string{"bookworm-backports"},
	}
)

// The archives of what Debian's mirrors no longer have: of all that they once
// had, at a time when it was the pinned versions, and of old releases.
const (
	snapshot = "http://snapshot.debian.org/archive/debian/20261120T000000Z"
	archived = "http://archive.debian.org/debian"
)

const component = "non-free-firmware"

// Choice says which firmware an image gets.
type Choice string

// The choices.
const (
	Pinned Choice = "pinned" // the versions above
	Newest Choice = "newest" // the newest that Debian has
	None   Choice = "none"   // an image without
)

// Choices are all of them.
var Choices = []Choice{Pinned, Newest, None}

// Set is what an image gets.
type Set struct {
	// Files are the firmware and the licences, by their paths on the box.
	Files map[string][]byte
	// Microcode is all client processors' microcode, one after the other.
	Microcode []byte
	// Packages are where it comes from.
	Packages []debian.Package
}

// Load loads what is chosen, from the cache or from Debian.
func Load(ctx context.Context, choice Choice, progress func(text string)) (Set, error) {
	if choice == None {
		return Set{}, nil
	}
	if !slices.Contains(Choices, choice) {
		return Set{}, fmt.Errorf("firmware %q: want one of %v", choice, Choices)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Set{}, fmt.Errorf("finding the folder for fetched packages: %w", err)
	}
	ownArchive, ownSecurity := debian.Mirrors(ctx)
	var debs []string
	for _, w := range []wanted{microcodeWanted, realtekWanted} {
		archive := debian.Archive{
			Cache:    filepath.Join(cache, "entroos", "debian"),
			Mirrors:  w.mirrors(choice, ownArchive, ownSecurity),
			Progress: progress,
		}
		var found []string
		if found, err = archive.Fetch(ctx, w.choose(choice)); err != nil {
			break
		}
		debs = append(debs, found...)
	}
	var unavailable *debian.UnavailableError
	if errors.As(err, &unavailable) {
		return Set{}, fmt.Errorf("%w\nTo build with the newest firmware that Debian has: --firmware newest (make image FIRMWARE=newest).\n"+
			"To build an image without any: --firmware none (make image FIRMWARE=none)", err)
	}
	if err != nil {
		return Set{}, err
	}
	return unpack(ctx, debs[0], debs[1])
}

// choose is the pin to ask for.
func (w wanted) choose(choice Choice) debian.Pin {
	if choice == Newest {
		return w.newest
	}
	return w.pin
}

// mirrors are the archives that are asked: the machine's own, then those that
// keep old versions.
func (w wanted) mirrors(choice Choice, archive, security string) [][]debian.Source {
	source := func(uri string, old bool, suites []string) debian.Source {
		return debian.Source{URI: uri, Suites: suites, Component: component, Keyring: debian.Keyring, Old: old}
	}
	own := []debian.Source{source(archive, false, w.suites)}
	if len(w.security) > 0 {
		own = append(own, source(security, false, w.security))
	}
	all := [][]debian.Source{own}
	if choice == Pinned {
		all = append(all, []debian.Source{source(snapshot, true, w.archived)})
	}
	return append(all, []debian.Source{source(archived, true, w.archived)})
}

// licences is where they lie on the box.
const licences = "/usr/share/licenses/"

// unpack takes what is needed from both packages.
func unpack(ctx context.Context, microcode, realtek string) (Set, error) {
	set := Set{Files: map[string][]byte{}}
	for _, deb := range []string{microcode, realtek} {
		described, err := debian.Describe(ctx, deb)
		if err != nil {
			return Set{}, err
		}
		set.Packages = append(set.Packages, described)
	}
	if err := set.unpackMicrocode(ctx, microcode); err != nil {
		return Set{}, fmt.Errorf("the processors' microcode: %w", err)
	}
	if err := set.unpackRealtek(ctx, realtek); err != nil {
		return Set{}, fmt.Errorf("the network cards' firmware: %w", err)
	}
	return set, nil
}

func (s *Set) unpackMicrocode(ctx context.Context, deb string) error {
	const folder, licence = "/lib/firmware/intel-ucode/", "/usr/share/doc/intel-microcode/license"
	files, err := debian.Files(ctx, deb, func(name string) bool {
		return strings.HasPrefix(name, folder) || name == licence
	})
	if err != nil {
		return err
	}
	text := files[licence]
	if len(text) == 0 {
		return errors.New("the package has no " + licence)
	}
	s.Files[licences+"intel-microcode/license"] = text
	delete(files, licence)
	s.Microcode, err = clientMicrocode(files)
	return err
}

func (s *Set) unpackRealtek(ctx context.Context, deb string) error {
	const folder, copyright = "/lib/firmware/", "/usr/share/doc/firmware-realtek/copyright"
	files, err := debian.Files(ctx, deb, func(name string) bool {
		return name == copyright || slices.Contains(realtekFiles, strings.TrimPrefix(name, folder))
	})
	if err != nil {
		return err
	}
	for _, name := range realtekFiles {
		content, found := files[folder+name]
		if !found {
			return fmt.Errorf("the package has no %s", name)
		}
		s.Files[folder+name] = content
	}
	licence, err := debian.CopyrightOf(string(files[copyright]), path.Dir(realtekFiles[0])+"/*")
	s.Files[licences+"firmware-realtek/copyright"] = []byte(licence)
	return err
}

// realtekFiles are what the driver r8169 asks for when a card is opened: after
// the root file system is mounted, so that they lie there.
var realtekFiles = []string{
	"rtl_nic/rtl8105e-1.fw", "rtl_nic/rtl8106e-1.fw", "rtl_nic/rtl8106e-2.fw", "rtl_nic/rtl8107e-2.fw",
	"rtl_nic/rtl8125a-3.fw", "rtl_nic/rtl8125b-2.fw", "rtl_nic/rtl8125d-1.fw", "rtl_nic/rtl8126a-2.fw", "rtl_nic/rtl8126a-3.fw",
	"rtl_nic/rtl8168d-1.fw", "rtl_nic/rtl8168d-2.fw", "rtl_nic/rtl8168e-1.fw", "rtl_nic/rtl8168e-2.fw", "rtl_nic/rtl8168e-3.fw",
	"rtl_nic/rtl8168f-1.fw", "rtl_nic/rtl8168f-2.fw", "rtl_nic/rtl8168fp-3.fw", "rtl_nic/rtl8168g-2.fw", "rtl_nic/rtl8168g-3.fw",
	"rtl_nic/rtl8168h-2.fw", "rtl_nic/rtl8402-1.fw", "rtl_nic/rtl8411-1.fw", "rtl_nic/rtl8411-2.fw",
}

// Package image builds what EntroOS is shipped as: one Unified Kernel Image (kernel,
// initramfs and root file system in one UEFI program), and a disk image that
// boots it.
//
// The same inputs give the same bytes: times, identities and orders are fixed.
// Nothing here needs root, mounts anything or asks the network (but for Go's own
// module downloads).
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"github.com/entroos/entroos/image/firmware"
)

// epoch is the time of every file in the image: it must not be the time of the
// build. FAT knows no years before 1980.
var epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// DefaultCommandLine is the kernel's. panic=10 restarts a box whose kernel or
// init has died; softdog panics one that hangs, also before PID 1 feeds the
// watchdogs, so that the next boot can tell of it.
// gpt: on a disk larger than the image the backup table is not at the disk's
// end, and the kernel should not mind.
const DefaultCommandLine = "console=tty1 console=ttyS0,115200 quiet loglevel=4 gpt panic=10 lockdown=integrity " +
	"softdog.soft_active_on_boot=1 softdog.soft_margin=120 softdog.soft_panic=1"

// DefaultDataSize is the data partition's size in the image, in bytes.
const DefaultDataSize = 256 << 20

// Builder builds the images from one checkout.
type Builder struct {
	// Source is the folder of EntroOS's go.mod.
	Source string
	// Output is the folder for the results; made when it is absent.
	Output string
	// Version names the results, and is the box's version.
	Version string
	// Kernel is the path of the bzImage, and KernelSource that of the source it
	// was built from; empty when that is not known.
	Kernel, KernelSource string
	// CommandLine is the kernel's command line.
	CommandLine string
	// DataSize is the size of the data partition in bytes, a multiple of 1 MiB.
	DataSize int64
	// Stage0 is the import path of the initramfs's init.
	Stage0 string
	// Userland is what is built and put on the root file system.
	Userland []Program
	// Config is the path of the appliance.yaml that is built in, with the services
	// and images it names; empty for the example, which names none.
	Config string
	// Firmware is the hardware's.
	Firmware firmware.Set
	// Quick packs the root file system lightly: a larger UKI, in seconds. There
	// is nothing beside the images then.
	Quick bool
	// Files are put on the root file system beside what every EntroOS has.
	Files []File
	// Progress gets a line for each step; nil for silence.
	Progress io.Writer

	appliance *appliance // Config, read
	programs  []Program  // Userland and the services
}

// Result is the paths of what was built.
type Result struct {
	UKI  string // entroos-<version>.efi
	Disk string // entroos.img

	// What a release has beside them; empty for a quick build.
	Compressed string // entroos.img.zst, of Disk
	Bill       string // entroos.cdx.json, what the UKI is made of
	Sums       string // SHA256SUMS
}

var versionPattern = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+([-.~][0-9A-Za-z.~-]*[0-9A-Za-z])?$`)

// check refuses what would give a broken image, before anything is built.
func (b *Builder) check() error {
	if !versionPattern.MatchString(b.Version) || len(b.Version) > 64 {
		// A plus would be read as a boot counter by the boot loader.
		return fmt.Errorf("version %q: want numbers like 1.2.3, or 1.2.3-rc1", b.Version)
	}
	if b.DataSize < minDataSize || b.DataSize > maxDataSize || b.DataSize%mebibyte != 0 {
		return fmt.Errorf("data size %d bytes: want whole MiB from %d MiB to %d MiB", b.DataSize, minDataSize/mebibyte, maxDataSize/mebibyte)
	}
	if err := checkCommandLine(b.CommandLine); err != nil {
		return err
	}
	if _, err := loadedSize(b.Kernel); err != nil {
		return fmt.Errorf("the kernel %s: %w", b.Kernel, err)
	}
	var err error
	b.appliance, err = readAppliance(b.Config)
	return err
}

// Build builds both images and moves them to their places in Output only once
// they are complete. Builds to one Output wait for each other.
func (b Builder) Build(ctx context.Context) (result Result, err error) {
	if err := b.check(); err != nil {
		return Result{}, err
	}
	// go builds in Source, whatever the working directory.
	output, err := filepath.Abs(b.Output)
	if err != nil {
		return Result{}, err
	}
	b.Output = output
	if err := requireTools(); err != nil {
		return Result{}, err
	}
	if err := os.MkdirAll(b.Output, 0o755); err != nil {
		return Result{}, err
	}
	lock := flock.New(filepath.Join(b.Output, ".lock"))
	locked, err := lock.TryLock()
	if err == nil && !locked {
		b.say("waiting for another build to %s", b.Output)
		_, err = lock.TryLockContext(ctx, 200*time.Millisecond)
	}
	if err != nil {
		return Result{}, fmt.Errorf("locking %s: %w", b.Output, err)
	}
	defer lock.Unlock() //nolint:errcheck // closing the file releases it too, and nothing was written to it

	work, err := os.MkdirTemp(b.Output, ".image-")
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()

	uki := filepath.Join(work, "uki.efi")
	if err := b.buildUKI(ctx, work, uki); err != nil {
		return Result{}, err
	}
	if err := checkFits(uki); err != nil {
		return Result{}, err
	}
	disk := filepath.Join(work, "disk.img")
	b.say("disk image")
	if err := writeDisk(ctx, disk, diskContents{Version: b.Version, UKI: uki, DataSize: b.DataSize}); err != nil {
		return Result{}, err
	}
	result = Result{
		UKI:  filepath.Join(b.Output, "entroos-"+b.Version+".efi"),
		Disk: filepath.Join(b.Output, "entroos.img"),
	}
	moves := []struct{ from, to string }{{uki, result.UKI}, {disk, result.Disk}}
	if !b.Quick {
		if err := b.release(ctx, work, uki, disk); err != nil {
			return Result{}, err
		}
		for name, path := range map[string]*string{compressedName: &result.Compressed, billName: &result.Bill, sumsName: &result.Sums} {
			*path = filepath.Join(b.Output, name)
			moves = append(moves, struct{ from, to string }{filepath.Join(work, name), *path})
		}
	}
	// The hashes of other images than lie beside them would mislead.
	for _, name := range []string{compressedName, billName, sumsName} {
		if err := os.Remove(filepath.Join(b.Output, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return Result{}, err
		}
	}
	for _, move := range moves {
		if err := os.Rename(move.from, move.to); err != nil {
			return Result{}, err
		}
	}
	return result, nil
}

// maxUKI is the room for it on the EFI system partition, beside the boot loader
// and the file system's own tables.
const maxUKI = espSize - 4*mebibyte

// checkFits refuses a UKI that the disk has no room for.
func checkFits(uki string) error {
	info, err := os.Stat(uki)
	if err != nil {
		return err
	}
	if info.Size() > maxUKI {
		return fmt.Errorf("the unified kernel image has %d MiB, and the disk has room for %d MiB: build in fewer images or services",
			info.Size()/mebibyte, int64(maxUKI/mebibyte))
	}
	return nil
}

// buildUKI goes all the way from Go packages to the UKI at path.
func (b *Builder) buildUKI(ctx context.Context, work, path string) error {
	services, err := b.appliance.programs(ctx, b)
	if err != nil {
		return err
	}
	b.programs = slices.Concat(b.Userland, services)
	built, err := b.buildPrograms(ctx, b.programs)
	if err != nil {
		return err
	}
	licences, err := b.licenceFiles(ctx)
	if err != nil {
		return err
	}
	stage0 := b.programPath("stage0")
	if err := b.buildProgram(ctx, Program{Package: b.Stage0}, stage0); err != nil {
		return err
	}
	template := filepath.Join(work, "data.ext4.zst")
	if err := writeDataTemplate(ctx, template); err != nil {
		return fmt.Errorf("a fresh data partition: %w", err)
	}
	b.say("root file system")
	root := filepath.Join(work, "root.squashfs")
	if err := b.writeSquashfs(ctx, root, filepath.Join(work, "root"), slices.Concat(b.baseFiles(), built, b.firmwareFiles(), licences, b.appliance.files(), b.Files,
		[]File{{Path: DataTemplate, Mode: 0o644, Source: template}})); err != nil {
		return err
	}
	b.say("initramfs")
	initramfs := filepath.Join(work, "initramfs")
	if err := writeInitramfs(initramfs, b.Firmware.Microcode, stage0, root); err != nil {
		return err
	}
	b.say("unified kernel image")
	return writeUKI(ctx, path, ukiContents{
		OSRelease:   osRelease(b.Version),
		CommandLine: b.CommandLine,
		Kernel:      b.Kernel,
		Initramfs:   initramfs,
	})
}

func (b *Builder) say(format string, args ...any) {
	if b.Progress != nil {
		fmt.Fprintf(b.Progress, "image: "+format+"\n", args...)
	}
}

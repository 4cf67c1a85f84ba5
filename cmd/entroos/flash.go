//go:build !box

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/entroos/entroos/appliance/blockdev"
	"github.com/entroos/entroos/appliance/config"
)

// flashFlags are the flags of `entroos flash`.
type flashFlags struct {
	image  string
	config string
	force  bool
	yes    *bool
	quiet  bool
}

// newFlashCommand is `flash`: the image on a stick or a disk.
func newFlashCommand(env *environment) *cobra.Command {
	var flags flashFlags
	c := &cobra.Command{
		Use: "flash DEVICE", Short: "Put EntroOS on a USB stick or a disk", Args: cobra.ExactArgs(1),
		Long: "Puts the image on a disk (/dev/sdX; `lsblk` lists them), reads all of it back, and gives the disk identities of\n" +
			"its own. Everything that was on it is lost. A disk that is mounted or otherwise in use is refused.",
	}
	c.Flags().StringVar(&flags.image, "image", "", "the image, plain or .zst (default build/entroos.img or build/entroos.img.zst)")
	c.Flags().StringVar(&flags.config, "config", "", "FILE for the box's own settings (appliance.yaml); it is checked first")
	c.Flags().BoolVar(&flags.force, "force", false, "take a disk that is built into this machine")
	c.Flags().BoolVarP(&flags.quiet, "quiet", "q", false, "show no progress")
	flags.yes = yesFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error { return flags.run(c.Context(), env, args[0]) }
	return c
}

func (f *flashFlags) run(ctx context.Context, env *environment, path string) error {
	disk, err := blockdev.Host.Look(path)
	if err != nil {
		return err
	}
	if err := f.refuse(disk); err != nil {
		return err
	}
	image, err := f.open()
	if err != nil {
		return err
	}
	var settings []byte
	if f.config != "" {
		if settings, err = os.ReadFile(f.config); err != nil {
			return err
		}
		if _, err := config.Parse(f.config, settings); err != nil {
			return err
		}
	}
	// All that can be wrong with the image is found before the disk is touched.
	if err := image.inspect(ctx); err != nil {
		return err
	}
	system, closer, err := image.system(settings)
	if err != nil {
		return err
	}
	defer closer()
	if err := system.Fits(disk.Bytes, disk.SectorSize); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !*f.yes {
		if err := env.confirm(ctx, fmt.Sprintf("This erases all that is on %s", describe(disk))); err != nil {
			return err
		}
	}
	device, err := blockdev.OpenExclusive(path)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run it as root (sudo)", err)
	} else if err != nil {
		return err
	}
	defer device.Close()
	bar := &progressBar{out: env.stderr, columns: env.columns(), quiet: f.quiet}
	defer bar.clear()
	table, err := system.Put(ctx, device, bar.show)
	bar.clear()
	if err != nil {
		return fmt.Errorf("%s is unfinished and starts nothing; flash it again: %w", path, err)
	}
	if err := device.Reread(); err != nil {
		fmt.Fprintf(env.stderr, "entroos: this machine goes on with the old partition table of %s until it is plugged in again (%v)\n", path, err)
	}
	return env.println(fmt.Sprintf("EntroOS is on %s, read back and verified (disk %s).", path, table.DiskGUID))
}

// refuse says why a disk is not to be written to.
func (f *flashFlags) refuse(disk blockdev.Facts) error {
	switch {
	case len(disk.Users) > 0:
		return fmt.Errorf("%s is in use: %s; unmount it first", disk.Path, strings.Join(disk.Users, ", "))
	case disk.Bytes == 0:
		return fmt.Errorf("%s has no medium in it", disk.Path)
	case disk.ReadOnly:
		return fmt.Errorf("%s is write-protected", disk.Path)
	case !disk.Removable && !f.force:
		return fmt.Errorf("%s is built into this machine, not a stick; if it is the right one, give --force", describe(disk))
	}
	return nil
}

// describe is a disk for people: /dev/sdb (SanDisk Ultra, 32 GB).
func describe(disk blockdev.Facts) string {
	size := units.HumanSizeWithPrecision(float64(disk.Bytes), 3)
	if disk.Model == "" {
		return fmt.Sprintf("%s (%s)", disk.Path, size)
	}
	return fmt.Sprintf("%s (%s, %s)", disk.Path, disk.Model, size)
}

//go:build !box

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/entroos/entroos/image"
	"github.com/entroos/entroos/image/firmware"
	kernelconfig "github.com/entroos/entroos/kernel-config"
)

// newImageCommand is `entroos image`: what EntroOS is shipped as.
func newImageCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "image",
		Short: "Build EntroOS's images",
		Args:  cobra.NoArgs,
	}
	command.AddCommand(newImageBuildCommand())
	return command
}

// imageFlags are the flags of `entroos image build`.
type imageFlags struct {
	version       string
	output        string
	commandAppend string
	dataSize      string
	kernel        string
	quick         bool
	firmware      string
	config        string
}

func newImageBuildCommand() *cobra.Command {
	var flags imageFlags
	command := &cobra.Command{
		Use:   "build",
		Short: "Build the unified kernel image and the disk image from this checkout",
		Long: "Builds <output>/entroos-<version>.efi (kernel, initramfs and root file system in one UEFI program) and\n" +
			"<output>/entroos.img (a disk that boots it); beside them entroos.img.zst, entroos.cdx.json (the bill of\n" +
			"materials) and SHA256SUMS. The kernel is built first when the cache has none.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			result, err := flags.build(cmd.Context())
			if err != nil {
				return err
			}
			for _, path := range []string{result.UKI, result.Disk, result.Compressed, result.Bill, result.Sums} {
				if path == "" {
					continue
				}
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), path); err != nil {
					return err
				}
			}
			return nil
		},
	}
	command.Flags().StringVar(&flags.version, "version", "", "the box's version (default: the file VERSION)")
	command.Flags().StringVarP(&flags.output, "output", "o", "build", "folder for the images")
	command.Flags().StringVar(&flags.commandAppend, "cmdline-append", "", "further words for the kernel's command line")
	command.Flags().StringVar(&flags.dataSize, "data-size", "256M", "size of the data partition in the image; the first boot grows it to the disk")
	command.Flags().StringVar(&flags.kernel, "kernel", "", "use this bzImage instead of building one")
	command.Flags().StringVar(&flags.config, "config", "",
		"appliance.yaml to build in, with the services and images it names (default: the example's defaults)")
	command.Flags().StringVar(&flags.firmware, "firmware", string(firmware.Pinned),
		"network cards' firmware and processors' microcode from Debian: pinned versions, newest, or none")
	command.Flags().BoolVar(&flags.quick, "quick", false, "pack lightly, for trials: larger and sooner")
	return command
}

func (f *imageFlags) build(ctx context.Context) (image.Result, error) {
	source, err := image.FindSource(".")
	if err != nil {
		return image.Result{}, err
	}
	builder := image.Builder{
		Source:      source,
		Output:      f.output,
		Version:     f.version,
		Kernel:      f.kernel,
		CommandLine: image.DefaultCommandLine,
		Stage0:      image.Stage0,
		Userland:    image.Userland(),
		Progress:    os.Stderr,
		Quick:       f.quick,
		Config:      f.config,
	}
	if f.commandAppend != "" {
		builder.CommandLine += " " + f.commandAppend
	}
	if builder.DataSize, err = units.RAMInBytes(f.dataSize); err != nil {
		return image.Result{}, fmt.Errorf("--data-size: %w", err)
	}
	if builder.Version == "" {
		if builder.Version, err = image.ReadVersion(source); err != nil {
			return image.Result{}, err
		}
	}
	builder.Firmware, err = firmware.Load(ctx, firmware.Choice(f.firmware), func(text string) {
		fmt.Fprintln(os.Stderr, "firmware: "+text)
	})
	if err != nil {
		return image.Result{}, err
	}
	if builder.Kernel == "" {
		kernels, err := kernelconfig.NewBuilder(os.Stderr)
		if err != nil {
			return image.Result{}, err
		}
		kernel, err := kernels.Build(ctx)
		if err != nil {
			return image.Result{}, err
		}
		builder.Kernel, builder.KernelSource = kernel.Image, kernels.Source
	}
	return builder.Build(ctx)
}

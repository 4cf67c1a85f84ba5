//go:build !box

package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	kernelconfig "github.com/entroos/entroos/kernel-config"
)

// newKernelCommand is `entroos kernel`: the kernel's build and what went into it.
func newKernelCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "kernel",
		Short: "Build EntroOS's Linux kernel and show its configuration",
		Long: "The kernel is built from Debian's linux-source-6.12 with the options in kernel-config/,\n" +
			"without modules, and kept in the user's cache folder under a hash of its inputs.",
		Args: cobra.NoArgs,
	}
	command.AddCommand(newKernelBuildCommand(), newKernelConfigCommand(), newKernelPathCommand(), newKernelDocsCommand())
	return command
}

func newKernelBuildCommand() *cobra.Command {
	jobs := 0
	command := &cobra.Command{
		Use:   "build",
		Short: "Build the kernel unless it is in the cache, and print its path",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if jobs < 0 {
				return fmt.Errorf("--jobs %d: must not be negative", jobs)
			}
			builder, err := kernelconfig.NewBuilder(os.Stderr)
			if err != nil {
				return err
			}
			builder.Jobs = jobs
			kernel, err := builder.Build(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), kernel.Image)
			return err
		},
	}
	command.Flags().IntVarP(&jobs, "jobs", "j", 0, "compilers to run at once (0: one for each processor)")
	return command
}

func newKernelConfigCommand() *cobra.Command {
	asked := false
	command := &cobra.Command{
		Use:   "config",
		Short: "Print the built kernel's final configuration",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asked {
				fragments, err := kernelconfig.Fragments()
				if err != nil {
					return err
				}
				_, err = fmt.Fprint(cmd.OutOrStdout(), kernelconfig.Text(fragments))
				return err
			}
			kernel, err := cachedKernel(cmd)
			if err != nil {
				return err
			}
			config, err := os.ReadFile(kernel.Config)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(config)
			return err
		},
	}
	command.Flags().BoolVar(&asked, "asked", false, "print only what the fragments ask for (needs no built kernel)")
	return command
}

func newKernelPathCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "path",
		Short: "Print the path of the built kernel",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kernel, err := cachedKernel(cmd)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), kernel.Image)
			return err
		},
	}
}

func newKernelDocsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "docs",
		Short: "Print docs/kernel.md: each option and why it is there",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fragments, err := kernelconfig.Fragments()
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), kernelconfig.Markdown(fragments))
			return err
		},
	}
}

// cachedKernel is the kernel that is built already, or an error that says how to
// build it.
func cachedKernel(cmd *cobra.Command) (kernelconfig.Kernel, error) {
	builder, err := kernelconfig.NewBuilder(nil)
	if err != nil {
		return kernelconfig.Kernel{}, err
	}
	kernel, err := builder.Cached(cmd.Context())
	if errors.Is(err, os.ErrNotExist) {
		return kernelconfig.Kernel{}, errors.New("this kernel is not built yet: run `entroos kernel build`")
	}
	return kernel, err
}

// Command stage0 is the initramfs's init. It mounts the root file system, a
// squashfs that lies beside it in the initramfs, and switches to it. It needs
// no disk: whatever state the disks are in, PID 1 starts.
//
// When it fails it says why on the console and exits; the kernel then panics,
// and panic=10 on its command line restarts the box, so that the boot loader
// counts the attempt.
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/u-root/u-root/pkg/mount"
	"github.com/u-root/u-root/pkg/mount/loop"
	"golang.org/x/sys/unix"
)

const (
	// rootImage is the root file system in the initramfs.
	rootImage = "/root.squashfs"
	// rootFolder is where it is mounted until it is the root.
	rootFolder = "/newroot"
	// nextInit is PID 1 on the root file system.
	nextInit = "/init"
)

func main() {
	// The kernel opened the console as our standard files.
	log.SetFlags(0)
	log.SetPrefix("stage0: ")
	if err := boot(); err != nil {
		log.Fatal(err)
	}
}

// boot mounts the root file system and becomes its init. It returns only with
// an error.
func boot() error {
	// The loop device's node. It moves along to the new root.
	if err := os.MkdirAll("/dev", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting devtmpfs on /dev: %w", err)
	}
	device, err := attach(rootImage)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(rootFolder, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(device, rootFolder, "squashfs", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mounting %s (%s): %w", rootImage, device, err)
	}
	// SwitchRoot tells each of its steps; the kernel's log is the place for that.
	if kmsg, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
		log.SetOutput(kmsg)
		log.SetPrefix("<6>stage0: ")
		defer func() {
			log.SetOutput(os.Stderr)
			log.SetPrefix("stage0: ")
		}()
	}
	// It deletes all of the initramfs, the squashfs too: the loop device keeps
	// the file's contents in memory for as long as it is mounted.
	if err := mount.SwitchRoot(rootFolder, nextInit); err != nil {
		return fmt.Errorf("starting %s on %s: %w", nextInit, rootImage, err)
	}
	return fmt.Errorf("starting %s on %s: it returned", nextInit, rootImage)
}

// attach makes a file a read-only loop device and returns the device's path.
func attach(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("opening the root file system in the initramfs: %w", err)
	}
	defer file.Close()
	name, err := loop.FindDevice()
	if err != nil {
		return "", fmt.Errorf("finding a free loop device: %w", err)
	}
	device, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("opening a loop device: %w", err)
	}
	defer device.Close()
	config := unix.LoopConfig{Fd: uint32(file.Fd())}
	config.Info.Flags = unix.LO_FLAGS_READ_ONLY
	copy(config.Info.File_name[:], path)
	if err := unix.IoctlLoopConfigure(int(device.Fd()), &config); err != nil {
		return "", fmt.Errorf("attaching %s to %s: %w", path, name, err)
	}
	return name, nil
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	kernelconfig "github.com/entroos/entroos/kernel-config"
	"github.com/entroos/entroos/qemu"
)

// kernel boots EntroOS's kernel with kernelguest as PID 1, which writes what the
// kernel logs to a disk.
func kernel(ctx context.Context, dir, log string, size int64, seed uint64) (err error) {
	builder, err := kernelconfig.NewBuilder(os.Stderr)
	if err != nil {
		return err
	}
	k, err := builder.Build(ctx)
	if err != nil {
		return err
	}
	initrd := filepath.Join(dir, "initrd")
	if err := kernelInitramfs(ctx, dir, initrd); err != nil {
		return err
	}
	// The last message may pass the size.
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(log, (size+1<<20)&^4095); err != nil {
		return err
	}
	var console bytes.Buffer
	vm, err := qemu.New(qemu.Config{
		MemoryMB: 256, Kernel: k.Image, Initrd: initrd, NoReboot: true, SerialLog: &console,
		Append: fmt.Sprintf("console=ttyS0 panic=-1 quiet log_buf_len=16M ENTROOS_LOG_BYTES=%d ENTROOS_LOG_SEED=%d", size, seed),
		ExtraArgs: []string{
			"-drive", "if=none,id=log,format=raw,cache=unsafe,file=" + strings.ReplaceAll(log, ",", ",,"),
			"-device", "virtio-blk-pci,drive=log",
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	if err := vm.Start(ctx); err != nil {
		return err
	}
	if err := vm.Wait(ctx); err != nil {
		return err
	}
	if !strings.Contains(console.String(), "kernelguest: <nil>") {
		return fmt.Errorf("the virtual machine ended otherwise than it should:\n%s", console.String())
	}
	return nil
}

// kernelInitramfs makes a root with kernelguest, and an ext4 file system for it
// to mount.
func kernelInitramfs(ctx context.Context, dir, output string) (err error) {
	init, ext4 := filepath.Join(dir, "init"), filepath.Join(dir, "ext4")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", init, "github.com/entroos/entroos/bench/largelogs/kernelguest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	for _, c := range []*exec.Cmd{build, exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", ext4, "8M")} {
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", c.Args[0], err, out)
		}
	}
	f, err := os.Create(output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := cpio.Newc.Writer(f)
	records := []cpio.Record{cpio.Directory("dev", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1)}
	for name, host := range map[string]string{"init": init, "ext4": ext4} {
		content, err := os.ReadFile(host)
		if err != nil {
			return err
		}
		records = append(records, cpio.StaticFile(name, string(content), 0o755))
	}
	for _, r := range records {
		if err := w.WriteRecord(r); err != nil {
			return err
		}
	}
	return cpio.WriteTrailer(w)
}

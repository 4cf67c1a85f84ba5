package qemu_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/entroos/entroos/qemu"
)

// These tests need no image: the firmware's own shell is the guest.

var shellPrompt = regexp.MustCompile(`Shell> `)

// firmwareShell starts a machine whose firmware finds only blank disks.
func firmwareShell(t *testing.T, cfg qemu.Config) (*qemu.VM, context.Context) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	cfg.Network.None = true
	vm, err := qemu.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := vm.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return vm, ctx
}

func TestMachineSpeaksAndSurvivesPowerCut(t *testing.T) {
	vm, ctx := firmwareShell(t, qemu.Config{})
	enterShell := func() {
		t.Helper()
		if _, err := vm.Expect(ctx, regexp.MustCompile(`Press .*ESC.* in \d seconds`)); err != nil {
			t.Fatal(err)
		}
		if err := vm.Send("\r"); err != nil {
			t.Fatal(err)
		}
		if _, err := vm.Expect(ctx, shellPrompt); err != nil {
			t.Fatal(err)
		}
	}
	enterShell()
	if err := vm.Send("set entroos kept\r"); err != nil { // not volatile: in the firmware's variables
		t.Fatal(err)
	}
	if _, err := vm.Expect(ctx, shellPrompt); err != nil {
		t.Fatal(err)
	}
	if err := vm.Start(ctx); err == nil {
		t.Fatal("a running machine was started")
	}
	pid := vm.PID()
	if err := vm.PowerCut(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Fatalf("QEMU is still there after the power cut: %v", err)
	}
	if vm.Running() {
		t.Fatal("the machine runs without power")
	}
	if err := vm.Start(ctx); err != nil {
		t.Fatal(err)
	}
	enterShell()
	if err := vm.Send("echo value-%entroos%\r"); err != nil {
		t.Fatal(err)
	}
	match, err := vm.Expect(ctx, regexp.MustCompile(`value-(\w+)\s*\r`))
	if err != nil {
		t.Fatal(err)
	}
	if match[1] != "kept" {
		t.Fatalf("after the power cut the firmware variable is %q", match[1])
	}
	var status struct{ Status string }
	if err := vm.QMP(ctx, "query-status", nil, &status); err != nil || status.Status != "running" {
		t.Fatalf("status %+v, %v", status, err)
	}
	if err := vm.QMP(ctx, "no-such-command", nil, nil); err == nil || !strings.Contains(err.Error(), "CommandNotFound") {
		t.Fatalf("an unknown QMP command gave %v", err)
	}
	if err := vm.Send("reset -s\r"); err != nil {
		t.Fatal(err)
	}
	if err := vm.Wait(ctx); err != nil {
		t.Fatalf("the guest's own power-off: %v", err)
	}
}

func TestExpectTellsTheTranscript(t *testing.T) {
	vm, ctx := firmwareShell(t, qemu.Config{})
	if _, err := vm.Expect(ctx, regexp.MustCompile(`Shell`)); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	_, err := vm.Expect(short, regexp.MustCompile(`never printed`))
	if err == nil || !strings.Contains(err.Error(), "Shell") || !strings.Contains(err.Error(), "never printed") {
		t.Fatalf("an error without transcript: %v", err)
	}
	if _, _, _, err := vm.Command(short, "status"); err == nil {
		t.Fatal("a firmware answered a command")
	}
}

func TestEveryDiskInterfaceIsSeen(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image, with a comma")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o444); err != nil {
		t.Fatal(err)
	}
	vm, ctx := firmwareShell(t, qemu.Config{Disks: []qemu.Disk{
		{Image: image},
		{Image: image, Interface: qemu.USB, Size: 8 << 20},
		{Size: 1 << 20, Interface: qemu.SATA},
		{Size: 1 << 20, Interface: qemu.NVMe, Raw: true},
	}})
	if _, err := vm.Expect(ctx, regexp.MustCompile(`Press .*ESC`)); err != nil {
		t.Fatal(err)
	}
	if err := vm.Send("\r"); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Expect(ctx, shellPrompt); err != nil {
		t.Fatal(err)
	}
	if err := vm.Send("map -r\r"); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Expect(ctx, shellPrompt); err != nil {
		t.Fatal(err)
	}
	transcript := string(vm.Transcript())
	for _, path := range []string{`USB\(`, `Sata\(`, `NVMe\(`} {
		if !regexp.MustCompile(path).MatchString(transcript) {
			t.Errorf("no disk at %s in %s", path, transcript)
		}
	}
}

func TestUnstartableMachineSaysWhy(t *testing.T) {
	vm, ctx := firmwareShell(t, qemu.Config{ExtraArgs: []string{"-device", "no-such-device"}})
	if _, err := vm.Expect(ctx, regexp.MustCompile(`.`)); err == nil || !strings.Contains(err.Error(), "no-such-device") {
		t.Fatalf("got %v", err)
	}
	if err := vm.Wait(ctx); err == nil || !strings.Contains(err.Error(), "no-such-device") {
		t.Fatalf("got %v", err)
	}
}

// TestMachineEndsWithItsProcess: a test that is killed leaves no QEMU behind.
func TestMachineEndsWithItsProcess(t *testing.T) {
	if os.Getenv("ENTROOS_QEMU_TEST_CHILD") != "" {
		vm, _ := firmwareShell(t, qemu.Config{})
		fmt.Println(vm.PID())
		select {} // until killed
	}
	child := exec.Command(os.Args[0], "-test.run", "^TestMachineEndsWithItsProcess$")
	child.Env = append(os.Environ(), "ENTROOS_QEMU_TEST_CHILD=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	_, scanErr := fmt.Fscan(out, &pid)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Error("the killed child says it succeeded")
	}
	if scanErr != nil {
		t.Fatal(scanErr)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		// Its parent is dead; init may not have reaped it yet.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("QEMU %d outlives the process that started it", pid)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestDiskFileIsKept(t *testing.T) {
	dir := t.TempDir()
	image, file := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	if err := os.WriteFile(image, []byte("image"+strings.Repeat("\x00", 1<<20)), 0o444); err != nil {
		t.Fatal(err)
	}
	prepare := func(size int64) error {
		vm, err := qemu.New(qemu.Config{Disks: []qemu.Disk{{Image: image, File: file, Raw: true, Size: size}}})
		if err == nil {
			err = vm.Close()
		}
		return err
	}
	if err := prepare(0); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("state"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := prepare(4 << 20); err != nil {
		t.Fatal(err)
	}
	if err := prepare(2 << 20); err == nil {
		t.Error("a disk shrank")
	}
	got, err := os.ReadFile(file)
	if err != nil || len(got) != 4<<20 || string(got[:5]) != "state" {
		t.Errorf("%d bytes, begin %q, %v", len(got), got[:5], err)
	}
	if got, err := os.ReadFile(image); err != nil || string(got[:5]) != "image" {
		t.Errorf("the image was written: %q, %v", got[:5], err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]qemu.Config{
		"disk without size":    {Disks: []qemu.Disk{{}}},
		"missing image":        {Disks: []qemu.Disk{{Image: "/does/not/exist"}}},
		"unknown interface":    {Disks: []qemu.Disk{{Size: 1 << 20, Interface: "scsi"}}},
		"negative memory":      {MemoryMB: -1},
		"unknown acceleration": {Accel: "warp"},
	} {
		if vm, err := qemu.New(cfg); err == nil {
			t.Errorf("%s: made", name)
			vm.Close()
		}
	}
}

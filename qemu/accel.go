package qemu

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Accel is how the guest's instructions are run.
type Accel string

// The accelerations. AccelAuto is KVM where it works and TCG elsewhere, or
// what the environment's ENTROOS_QEMU_ACCEL (kvm or tcg) says.
const (
	AccelAuto Accel = ""
	AccelKVM  Accel = "kvm"
	AccelTCG  Accel = "tcg"
)

func (a Accel) arg() string {
	if a == AccelTCG {
		// With thread=multi and more than one CPU, kernels crash in patched
		// jump labels.
		return "tcg,thread=single"
	}
	return string(a)
}

// resolve turns AccelAuto into one that works.
func (a Accel) resolve() (Accel, error) {
	if a == AccelAuto {
		a = Accel(os.Getenv("ENTROOS_QEMU_ACCEL"))
	}
	switch a {
	case AccelKVM, AccelTCG:
		return a, nil
	case AccelAuto:
		if kvmWorks() {
			return AccelKVM, nil
		}
		return AccelTCG, nil
	}
	return "", fmt.Errorf("qemu: acceleration %q is neither kvm nor tcg", a)
}

// kvmProbeTime bounds the probe. Under a KVM that works, the firmware speaks
// within a second.
const kvmProbeTime = 8 * time.Second

// kvmWorks says whether a guest really runs under KVM. That /dev/kvm opens
// says little, and neither does a machine that can be made: there are hosts
// whose KVM ends with an internal error after a few thousand instructions. So
// it runs the firmware until its first word on the serial port.
var kvmWorks = sync.OnceValue(func() bool {
	dev, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	dev.Close()
	fw, err := findFirmware()
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), kvmProbeTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-nodefaults", "-no-user-config",
		"-machine", "q35", "-accel", "kvm", "-cpu", "max", "-m", "128", "-display", "none",
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+escape(fw.code),
		"-drive", "if=pflash,unit=1,format=raw,snapshot=on,file="+escape(fw.vars),
		"-serial", "stdio", "-no-reboot")
	var spoke sync.Once
	works := make(chan bool, 2)
	verdict := func(ok bool) { spoke.Do(func() { works <- ok; cancel() }) }
	cmd.Stdout = watch(func([]byte) { verdict(true) })
	var complaints bytes.Buffer
	cmd.Stderr = watch(func(p []byte) {
		complaints.Write(p)
		// QEMU does not end on it, it only stops the machine.
		if bytes.Contains(complaints.Bytes(), []byte("KVM internal error")) {
			verdict(false)
		}
	})
	// Run's error is that of the kill above, or a failure to start.
	if err := cmd.Run(); err != nil {
		verdict(false)
	}
	verdict(false)
	return <-works
})

// watch is a writer that calls a function.
type watch func(p []byte)

func (w watch) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

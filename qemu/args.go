package qemu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Forward makes a port of the guest reachable on the host's 127.0.0.1.
type Forward struct {
	HostPort, GuestPort int
	UDP                 bool
}

// Network is the machine's network card on QEMU's user network, where the
// host is 10.0.2.2 and the guest gets 10.0.2.15 by DHCP.
type Network struct {
	// None leaves the card out.
	None bool
	// Model is QEMU's name of the card; empty is virtio-net-pci.
	Model string
	// Forwards are ports of the guest on 127.0.0.1.
	Forwards []Forward
	// GuestForwards are QEMU's guestfwd values, e.g.
	// "tcp:10.0.2.100:80-tcp:127.0.0.1:8080".
	GuestForwards []string
	// Restrict cuts the guest off from host and outside, save for forwards.
	Restrict bool
}

// args are QEMU's arguments, save for the sockets to this process.
func (vm *VM) args() ([]string, error) {
	cfg := &vm.cfg
	cpu := cfg.CPU
	if cpu == "" {
		cpu = "max"
	}
	args := []string{
		"-nodefaults", "-no-user-config",
		"-machine", "q35", "-accel", vm.accel.arg(), "-cpu", cpu,
		"-smp", fmt.Sprint(cfg.CPUs), "-m", fmt.Sprint(cfg.MemoryMB),
		"-display", "none", "-vga", "std",
		"-rtc", "base=utc",
		"-device", "qemu-xhci,id=xhci", "-device", "usb-kbd,bus=xhci.0",
		"-device", "virtio-rng-pci",
		"-device", "virtio-serial-pci,id=serial",
	}
	if cfg.Kernel != "" {
		args = append(args, "-kernel", cfg.Kernel, "-append", cfg.Append)
		if cfg.Initrd != "" {
			args = append(args, "-initrd", cfg.Initrd)
		}
	} else {
		fw, err := findFirmware()
		if err != nil {
			return nil, err
		}
		args = append(args,
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+escape(fw.code),
			"-drive", "if=pflash,unit=1,format=raw,file="+escape(filepath.Join(vm.dir, varsName)))
	}
	for i := range cfg.Disks {
		args = append(args, cfg.Disks[i].args(i)...)
	}
	args = append(args, cfg.Network.args()...)
	for _, s := range cfg.SMBIOS {
		args = append(args, "-smbios", "type=11,value="+escape(s))
	}
	if cfg.VSock {
		if !VSockAvailable() {
			return nil, errors.New("qemu: vsock: this host has no usable /dev/vhost-vsock (modprobe vhost_vsock)")
		}
		args = append(args, "-device", fmt.Sprintf("vhost-vsock-pci,guest-cid=%d", vm.cid))
	}
	if cfg.NoReboot {
		args = append(args, "-no-reboot")
	}
	return append(args, cfg.ExtraArgs...), nil
}

func (n *Network) args() []string {
	if n.None {
		return nil
	}
	netdev := "user,id=net0"
	if n.Restrict {
		netdev += ",restrict=on"
	}
	for _, f := range n.Forwards {
		proto := "tcp"
		if f.UDP {
			proto = "udp"
		}
		netdev += fmt.Sprintf(",hostfwd=%s:127.0.0.1:%d-:%d", proto, f.HostPort, f.GuestPort)
	}
	for _, g := range n.GuestForwards {
		netdev += ",guestfwd=" + escape(g)
	}
	model := n.Model
	if model == "" {
		model = "virtio-net-pci"
	}
	// Without its ROM the card does not lengthen the firmware's start.
	return []string{"-netdev", netdev, "-device", model + ",id=nic0,netdev=net0,romfile="}
}

// escape doubles the commas of an option's value.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// VSockAvailable says whether this host can give its machines vsock.
func VSockAvailable() bool {
	f, err := os.OpenFile("/dev/vhost-vsock", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

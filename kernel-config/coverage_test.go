package kernelconfig

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

// coverage is what EntroOS promises to run on and to offer, with the options
// that make it so.
var coverage = map[string]string{
	"AHCI":                           "ATA SATA_AHCI BLK_DEV_SD",
	"NVMe, behind VMD too":           "BLK_DEV_NVME VMD",
	"USB 2 and 3 storage":            "USB_XHCI_HCD USB_EHCI_HCD USB_STORAGE USB_UAS",
	"keyboards":                      "USB_HID HID_GENERIC INPUT_KEYBOARD KEYBOARD_ATKBD VT",
	"eMMC":                           "MMC MMC_BLOCK MMC_SDHCI MMC_SDHCI_PCI MMC_SDHCI_ACPI",
	"network cards":                  "E1000 E1000E IGB IGC R8169",
	"their firmware":                 "FW_LOADER",
	"EFI framebuffer console":        "EFI SYSFB_SIMPLEFB DRM_SIMPLEDRM FRAMEBUFFER_CONSOLE",
	"8250 console":                   "SERIAL_8250 SERIAL_8250_CONSOLE SERIAL_8250_PCI",
	"TPM":                            "TCG_TPM TCG_TIS TCG_CRB",
	"watchdogs":                      "WATCHDOG ITCO_WDT LPC_ICH I2C_I801 I6300ESB_WDT SOFT_WATCHDOG",
	"heat, frequency and energy":     "SENSORS_CORETEMP X86_INTEL_PSTATE POWERCAP INTEL_RAPL",
	"microcode":                      "MICROCODE BLK_DEV_INITRD",
	"last words":                     "PSTORE EFI_VARS_PSTORE",
	"detectors":                      "SOFTLOCKUP_DETECTOR DETECT_HUNG_TASK",
	"files":                          "EXT4_FS EXT4_FS_SECURITY SQUASHFS SQUASHFS_ZSTD VFAT_FS OVERLAY_FS",
	"virtio":                         "VIRTIO_PCI VIRTIO_BLK VIRTIO_NET VIRTIO_CONSOLE SCSI_VIRTIO VIRTIO_BALLOON HW_RANDOM_VIRTIO",
	"vsock":                          "VSOCKETS VSOCKETS_LOOPBACK VIRTIO_VSOCKETS VHOST_VSOCK",
	"cgroup v2 with each controller": "CGROUPS CGROUP_SCHED CFS_BANDWIDTH CPUSETS BLK_CGROUP BLK_DEV_THROTTLING MEMCG CGROUP_HUGETLB CGROUP_PIDS CGROUP_RDMA CGROUP_MISC CGROUP_PERF CGROUP_BPF",
	"pressure":                       "PSI",
	"device mapper":                  "DM_VERITY DM_CRYPT",
	"networks of containers":         "VETH BRIDGE VLAN_8021Q WIREGUARD",
	"nftables":                       "NF_TABLES NF_TABLES_INET NFT_NAT NFT_MASQ NFT_REDIR NFT_CT NFT_FIB_IPV4 NFT_FIB_IPV6 NFT_FIB_INET NFT_NUMGEN NFT_HASH NFT_LIMIT NFT_LOG",
	"system call filters":            "SECCOMP SECCOMP_FILTER",
	"security modules":               "SECURITY_LANDLOCK SECURITY_LOCKDOWN_LSM",
	"random addresses":               "RANDOMIZE_BASE RANDOMIZE_MEMORY",
	"stack protector":                "STACKPROTECTOR STACKPROTECTOR_STRONG",
	"unprivileged BPF off":           "BPF_UNPRIV_DEFAULT_OFF",
}

// Each option of the promise is asked for in a fragment, so that it is in
// docs/kernel.md with its reason and a build without it fails; and it is in the
// kernel that was built, where one was.
func TestCoverage(t *testing.T) {
	builder, err := NewBuilder(nil)
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]string{}
	for _, fragment := range builder.Fragments {
		for _, group := range fragment.Groups {
			for _, option := range group.Options {
				asked[option.Name] = option.Value
			}
		}
	}
	final := finalConfig(t, builder)
	for what, options := range coverage {
		for name := range strings.FieldsSeq(options) {
			name = "CONFIG_" + name
			if asked[name] != "y" {
				t.Errorf("%s: no fragment asks for %s", what, name)
			}
			if final != nil && final[name] != "y" {
				t.Errorf("%s: the kernel that was built has %s=%s", what, name, final[name])
			}
		}
	}
}

// finalConfig is the configuration of the built kernel, nil where the cache has
// none.
func finalConfig(t *testing.T, builder *Builder) map[string]string {
	t.Helper()
	kernel, err := builder.Cached(context.Background())
	if errors.Is(err, os.ErrNotExist) {
		t.Log("no kernel is built: only what the fragments ask for is checked")
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(kernel.Config)
	if err != nil {
		t.Fatal(err)
	}
	options := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if option, ok := parseOption(strings.TrimRight(line, "\n")); ok {
			options[option.Name] = option.Value
		}
	}
	return options
}

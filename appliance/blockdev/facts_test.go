package blockdev

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// kernel lays out what a kernel would tell, by path.
func kernel(t *testing.T, files map[string]string, links map[string]string) Kernel {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, target := range links {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(root, target), path); err != nil {
			t.Fatal(err)
		}
	}
	return Kernel{Sys: filepath.Join(root, "sys"), Dev: "/dev", Proc: filepath.Join(root, "proc")}
}

func TestDisks(t *testing.T) {
	const usb, ata = "sys/devices/pci0/usb2/2-1/host6/block/sdb", "sys/devices/pci0/ata1/host0/block/sda"
	k := kernel(t, map[string]string{
		ata + "/size": "2000", ata + "/dev": "8:0", ata + "/queue/logical_block_size": "512",
		ata + "/device/model": "Rock   Solid  ", ata + "/device/vendor": "ATA     ", ata + "/removable": "0",
		ata + "/sda1/partition": "1", ata + "/sda1/dev": "8:1", ata + "/sda2/partition": "2", ata + "/sda2/dev": "8:2",
		ata + "/sda2/holders/dm-0/dev": "253:0",
		usb + "/size":                  "4000", usb + "/dev": "8:16", usb + "/ro": "1", usb + "/removable": "0",
		usb + "/device/model": "Stick", usb + "/device/vendor": "ACME",
		"sys/devices/virtual/block/loop0/size": "8",
		"sys/devices/pci0/block/sr0/size":      "8",
		"sys/devices/pci0/block/sdc/size":      "0",
		"proc/self/mountinfo": "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n" +
			"21 1 0:40 / /btr\\040fs rw shared:1 - btrfs /dev/sda rw",
		"proc/swaps": "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2",
	}, map[string]string{
		"sys/class/block/sda": ata, "sys/class/block/sda1": ata + "/sda1", "sys/class/block/sda2": ata + "/sda2",
		"sys/class/block/sdb": usb, "sys/class/block/loop0": "sys/devices/virtual/block/loop0",
		"sys/class/block/sr0": "sys/devices/pci0/block/sr0", "sys/class/block/sdc": "sys/devices/pci0/block/sdc",
	})
	disks, err := k.Disks()
	if err != nil || len(disks) != 2 {
		t.Fatalf("%+v, %v", disks, err)
	}
	sda, sdb := disks[0], disks[1]
	if sda.Path != "/dev/sda" || sda.Bytes != 2000*512 || sda.SectorSize != 512 || sda.Model != "Rock Solid" || sda.Removable || sda.ReadOnly {
		t.Errorf("%+v", sda)
	}
	want := []string{"sda1 is mounted at /", `sda is mounted at /btr\040fs`, "sda2 is swap space", "sda2 is part of dm-0"}
	if !slices.Equal(sda.Users, want) {
		t.Errorf("users %q, want %q", sda.Users, want)
	}
	if !sdb.Removable || !sdb.ReadOnly || sdb.Model != "ACME Stick" || len(sdb.Users) != 0 {
		t.Errorf("%+v", sdb)
	}
	if got := k.parent("sda2"); got != "sda" {
		t.Errorf("sda2 is a partition of %q", got)
	}
}

func TestLookAtWhatIsNoDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, "/dev/null", t.TempDir()} {
		if _, err := Host.Look(path); !errors.Is(err, ErrNoDisk) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestContent(t *testing.T) {
	const size = 8 * mib
	for _, c := range []struct {
		want string
		put  func(*memory)
	}{
		{Empty, func(*memory) {}},
		{"GPT, 3 partitions", func(m *memory) {
			table := boxTable(t, size)
			table.Partition(4).SetName("other")
			if err := table.Write(m, size); err != nil {
				t.Fatal(err)
			}
		}},
		{"EntroOS", func(m *memory) {
			if err := boxTable(t, size).Write(m, size); err != nil {
				t.Fatal(err)
			}
		}},
		{"MBR, 1 partition", func(m *memory) { m.content[446+4], m.content[510], m.content[511] = 7, 0x55, 0xaa }},
		{"ext4", func(m *memory) { copy(m.content[1024+ext4Magic:], "\x53\xef") }},
		{"something unknown", func(m *memory) { copy(m.content, "hello") }},
	} {
		m := &memory{content: make([]byte, size), left: -1}
		c.put(m)
		if got := Content(m, size, 512); got != c.want {
			t.Errorf("content is %q, want %q", got, c.want)
		}
	}
	if got := Content(strings.NewReader(strings.Repeat("x", 100)), size, 512); !strings.HasPrefix(got, "unreadable") {
		t.Errorf("%q", got)
	}
}

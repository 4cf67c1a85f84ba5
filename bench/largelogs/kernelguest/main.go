// Command kernelguest is PID 1 of a virtual machine in which the kernel has much
// to say: packets that a firewall logs, bridges' ports that come and go, file
// systems that are mounted, programs that crash, cgroups that run out of memory,
// and the tasks that SysRq lists. All that the kernel logs goes to the disk
// /dev/vda, as dmesg prints it; the machine ends when the disk has as many bytes
// as ENTROOS_LOG_BYTES says. ENTROOS_LOG_SEED is the seed of the load.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/u-root/u-root/pkg/mount/loop"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// fileSystem is an ext4 image in the initramfs.
const fileSystem = "/ext4"

func main() {
	switch os.Getenv("ENTROOS_LOG_ROLE") {
	case "crash":
		crash()
	case "hog":
		hog()
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "kernelguest is PID 1 of a virtual machine that largelogs starts")
		os.Exit(1)
	}
	err := run()
	fmt.Printf("\nkernelguest: %v\n", err)
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("power off:", err)
	}
}

func run() error {
	signal.Ignore(unix.SIGHUP)
	for _, m := range []struct{ kind, target string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"cgroup2", "/sys/fs/cgroup"}, {"tmpfs", "/tmp"},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.target, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	for setting, value := range map[string]string{
		"kernel/printk_ratelimit": "0", "kernel/printk": "1 4 1 7", "kernel/sysrq": "1", "kernel/print-fatal-signals": "1",
	} {
		if err := os.WriteFile(filepath.Join("/proc/sys", setting), []byte(value), 0); err != nil {
			return err
		}
	}
	bytes, err := strconv.ParseInt(os.Getenv("ENTROOS_LOG_BYTES"), 10, 64)
	if err != nil {
		return err
	}
	seed, err := strconv.ParseUint(os.Getenv("ENTROOS_LOG_SEED"), 10, 64)
	if err != nil {
		return err
	}
	if err := firewall(); err != nil {
		return fmt.Errorf("firewall: %w", err)
	}
	var written atomic.Int64
	ended := make(chan error, 1)
	go func() { ended <- record(bytes, &written) }()
	r := rand.New(rand.NewPCG(seed, 0))
	loads := []struct {
		weight int
		run    func(*rand.Rand) error
	}{{82, packets}, {5, ports}, {5, mounts}, {3, crashes}, {1, outOfMemory}, {4, tasks}}
	for written.Load() < bytes {
		n := r.IntN(100)
		for _, l := range loads {
			if n -= l.weight; n < 0 {
				if err := l.run(r); err != nil {
					return err
				}
				break
			}
		}
		select {
		case err := <-ended:
			return err
		default:
		}
		// The ring buffer is small beside what a burst has to say.
		time.Sleep(time.Millisecond)
	}
	return <-ended
}

// record writes the kernel's messages to the disk, until there are enough.
func record(enough int64, written *atomic.Int64) (err error) {
	kmsg, err := os.Open("/dev/kmsg")
	if err != nil {
		return err
	}
	defer kmsg.Close()
	disk, err := os.OpenFile("/dev/vda", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Sync(), disk.Close()) }()
	out := bufio.NewWriterSize(disk, 1<<20)
	message := make([]byte, 16<<10)
	for written.Load() < enough {
		n, err := kmsg.Read(message)
		if errors.Is(err, unix.EPIPE) {
			continue // messages were overwritten; the next ones come
		}
		if err != nil {
			return err
		}
		n, err = out.Write(dmesg(message[:n]))
		if err != nil {
			return err
		}
		written.Add(int64(n))
	}
	return out.Flush()
}

// dmesg gives a record of /dev/kmsg as dmesg prints it.
func dmesg(record []byte) []byte {
	head, text, _ := bytes.Cut(record, []byte(";"))
	text, _, _ = bytes.Cut(text, []byte("\n")) // what follows describes devices
	fields := bytes.Split(head, []byte(","))
	micros, err := strconv.ParseInt(string(fields[min(2, len(fields)-1)]), 10, 64)
	if err != nil {
		return nil
	}
	var lines []byte
	for line := range bytes.SplitSeq(text, []byte(`\x0a`)) {
		lines = fmt.Appendf(lines, "[%5d.%06d] %s\n", micros/1e6, micros%1e6, line)
	}
	return lines
}

// firewall logs what is sent, as a box's administrator would have it.
func firewall() error {
	for _, name := range []string{"lo"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
	}
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "log"})
	for _, c := range []struct {
		name, prefix string
		hook         *nftables.ChainHook
	}{{"input", "FW-IN: ", nftables.ChainHookInput}, {"output", "FW-OUT: ", nftables.ChainHookOutput}} {
		chain := conn.AddChain(&nftables.Chain{
			Name: c.name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: c.hook, Priority: nftables.ChainPriorityFilter,
		})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{&expr.Log{
			Key: 1<<unix.NFTA_LOG_PREFIX | 1<<unix.NFTA_LOG_LEVEL, Level: expr.LogLevelWarning, Data: []byte(c.prefix),
		}}})
	}
	return conn.Flush()
}

// packets are sent over UDP, and connections tried that nobody takes.
func packets(r *rand.Rand) error {
	source := net.IPv4(127, 10, byte(r.IntN(4)), byte(1+r.IntN(250)))
	for range 1 + r.IntN(300) {
		target := net.IPv4(127, 0, byte(r.IntN(2)), byte(1+r.IntN(30)))
		port := []int{22, 53, 80, 123, 443, 445, 3306, 8080, 1024 + r.IntN(60_000)}[r.IntN(9)]
		if r.IntN(3) == 0 {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: source}, Timeout: time.Second}
			if conn, err := d.Dial("tcp", net.JoinHostPort(target.String(), strconv.Itoa(port))); err == nil {
				conn.Close()
			}
			continue
		}
		conn, err := net.DialUDP("udp", &net.UDPAddr{IP: source}, &net.UDPAddr{IP: target, Port: port})
		if err != nil {
			return err
		}
		// Nobody listens: an error says so.
		_, _ = conn.Write(make([]byte, r.IntN(600)))
		conn.Close()
	}
	return nil
}

// ports of a bridge come and go.
func ports(r *rand.Rand) error {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("br%d", r.IntN(8))}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return err
	}
	for i := range 1 + r.IntN(6) {
		veth := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("veth%06x", r.IntN(1<<24)), MasterIndex: bridge.Index},
			PeerName:  fmt.Sprintf("peer%d", i),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(veth); err != nil {
			return err
		}
		if r.IntN(3) == 0 {
			if err := netlink.SetPromiscOn(veth); err != nil {
				return err
			}
		}
		if err := netlink.LinkDel(veth); err != nil {
			return err
		}
	}
	return netlink.LinkDel(bridge)
}

// mounts an image of a file system several times.
func mounts(r *rand.Rand) error {
	if err := os.MkdirAll("/mnt", 0o755); err != nil {
		return err
	}
	for range 1 + r.IntN(8) {
		device, err := loop.FindDevice()
		if err != nil {
			return err
		}
		if err := loop.SetFile(device, fileSystem); err != nil {
			return err
		}
		options := []string{"", "errors=remount-ro", "noload", "data=journal", "commit=30", "no-such-option"}[r.IntN(6)]
		var flags uintptr
		if options == "noload" {
			flags = unix.MS_RDONLY
		}
		err = unix.Mount(device, "/mnt", "ext4", flags, options)
		if err == nil {
			err = unix.Unmount("/mnt", 0)
		} else if options == "no-such-option" {
			err = nil // the kernel says so, too
		}
		if err = errors.Join(err, loop.ClearFile(device)); err != nil {
			return err
		}
	}
	return nil
}

// again runs this program in a role.
func again(role string, group string) error {
	c := exec.Command("/proc/self/exe")
	c.Env = []string{"ENTROOS_LOG_ROLE=" + role, "GOTRACEBACK=crash"}
	if group != "" {
		fd, err := unix.Open(group, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		c.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	}
	var exit *exec.ExitError
	if err := c.Run(); !errors.As(err, &exit) {
		return fmt.Errorf("%s: it should have failed: %v", role, err)
	}
	return nil
}

func crashes(r *rand.Rand) error {
	for range 1 + r.IntN(3) {
		if err := again("crash", ""); err != nil {
			return err
		}
	}
	return nil
}

// crash ends by a signal that the kernel tells of.
func crash() {
	_ = unix.Kill(os.Getpid(), []unix.Signal{unix.SIGSEGV, unix.SIGBUS, unix.SIGILL}[time.Now().UnixNano()%3])
	os.Exit(2)
}

// outOfMemory has a cgroup's process killed.
func outOfMemory(r *rand.Rand) error {
	if err := os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+memory"), 0); err != nil {
		return err
	}
	group := fmt.Sprintf("/sys/fs/cgroup/job-%04x", r.IntN(1<<16))
	if err := os.Mkdir(group, 0o755); err != nil {
		return err
	}
	limit := strconv.Itoa((8 + r.IntN(8)) << 20)
	if err := os.WriteFile(filepath.Join(group, "memory.max"), []byte(limit), 0); err != nil {
		return err
	}
	if err := again("hog", group); err != nil {
		return err
	}
	return os.Remove(group)
}

// hog takes memory until it is killed.
func hog() {
	var all [][]byte
	for range 1 << 10 {
		all = append(all, bytes.Repeat([]byte{1}, 1<<20))
	}
	os.Exit(len(all) & 1)
}

// tasks has the kernel list the tasks, their stacks, and the memory.
func tasks(r *rand.Rand) error {
	return os.WriteFile("/proc/sysrq-trigger", []byte{"tmwlp"[r.IntN(5)]}, 0)
}

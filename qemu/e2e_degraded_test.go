//go:build vm

package qemu_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/entroos/entroos/appliance"
	"github.com/entroos/entroos/qemu"
)

// TestDegraded has what goes wrong on a box that goes on: a service that
// crashes again and again, a data partition without space, and, at the next
// boot, a disk that does not give the records any more.
func TestDegraded(t *testing.T) {
	t.Parallel()
	// Little room, so that it is soon filled.
	disk := qemu.Disk{Image: built(t, "entroos.img"), File: filepath.Join(t.TempDir(), "disk"), Raw: true, Size: 576 << 20}
	b := boot(t, func(c *qemu.Config) { c.Disks = []qemu.Disk{disk} })
	b.importFixture("busybox.tar")
	b.crashLoop("ntp")
	b.fillDataPartition()
	b.run("run", "--name", "kept-in-the-records", "busybox", "true")
	b.powerOff()

	disk.BadSectors = badSectors(t, disk.File, "kept-in-the-records")
	b = newBox(t, func(c *qemu.Config) { c.Disks = []qemu.Disk{disk} })
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	if err := b.vm.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.vm.Expect(ctx, regexp.MustCompile(`entroos: degraded`)); err != nil {
		t.Fatal(err)
	}
	s := b.status()
	if problems := strings.Join(s.Problems, "\n"); s.State != "degraded" || !strings.Contains(problems, "the records file is damaged: it cannot be read") {
		t.Errorf("with a bad sector under the records the box is %s: %s", s.State, problems)
	}
	b.checkPrevious("poweroff")
	b.powerOff()
}

// crashLoop kills a service until it is failing: that is shown, the others do
// not suffer, and it is healthy again when it is let alone.
func (b *box) crashLoop(name string) {
	b.Helper()
	var before, after []service
	b.get(&before, "services")
	b.until(name+" to be failing", func() (bool, string) {
		_, stderr, _ := b.try("services", "kill", name) // it may be between two lives
		return b.service(name).State == "failing", stderr
	})
	if s := b.status(); s.State != "degraded" || !strings.Contains(strings.Join(s.Problems, "\n"), "service "+name+" is failing") {
		b.Errorf("with %s failing, the box is %s: %s", name, s.State, s.Problems)
	}
	b.get(&after, "services")
	for _, was := range before {
		if was.Name != name && !strings.HasPrefix(was.Name, "console") && !strings.HasPrefix(was.Name, "dhcp") {
			if now := b.service(was.Name); now.PID != was.PID || now.Restarts != was.Restarts {
				b.Errorf("%s was %+v, and is %+v", was.Name, was, now)
			}
		}
	}
	b.until("the box to be ready again", func() (bool, string) {
		s := b.status()
		return s.State == "ready", fmt.Sprint(s.Problems)
	})
}

// fillDataPartition has a container write until there is no space. The box goes on with its own work, and is well when
// there is space again.
func (b *box) fillDataPartition() {
	b.Helper()
	executions := len(b.receipts(0))
	stdout, stderr, exit := b.try("run", "--name", "filler", "busybox", "dd", "if=/dev/zero", "of=/big", "bs=64k")
	executions++
	if exit != 1 || !strings.Contains(stderr, "No space left on device") {
		b.Errorf("filling the data partition: exit %d: %s %s", exit, stdout, stderr)
	}
	var space struct {
		Free uint64 `json:"data_free_bytes"`
	}
	b.get(&space, "status")
	if space.Free > 1<<20 {
		b.Fatalf("the data partition is not full: %d bytes are free", space.Free)
	}
	if s := b.status(); s.State != "degraded" || !strings.Contains(strings.Join(s.Problems, "\n"), "the data partition is full") {
		b.Errorf("with a full data partition, the box is %s: %s", s.State, s.Problems)
	}
	if _, stderr, exit := b.try("import", fixtureURL(b, "nginx.tar")); exit == 0 || !strings.Contains(stderr, "no room") {
		b.Errorf("an import into a full data partition: exit %d: %s", exit, stderr)
	}
	// What cannot be started is told, and has its receipt.
	for range 5 {
		if _, stderr, exit := b.try("run", "--rm", "busybox", "true"); exit != 125 || !strings.Contains(stderr, "no room") {
			b.Errorf("a run on a full data partition: exit %d: %s", exit, stderr)
		}
		executions++
	}
	all := b.receipts(executions)
	b.checkUnbroken(all)
	if len(all) != executions {
		b.Errorf("%d receipts of %d executions", len(all), executions)
	}
	b.run("rm", "filler")
	b.until("the box to be ready again", func() (bool, string) {
		s := b.status()
		return s.State == "ready", fmt.Sprint(s.Problems)
	})
	b.run("run", "--rm", "busybox", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=8")
}

// badSectors gives the sectors of a disk that is switched off on which the
// box's records mention text.
func badSectors(t *testing.T, disk, text string) (sectors []int64) {
	t.Helper()
	const block = 4096 // of the data partition, and a page of the records
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := gpt.Read(file.New(f, true), 512, 512)
	if err != nil {
		t.Fatal(err)
	}
	var start int64
	for _, p := range table.Partitions {
		if p.Index == appliance.PartitionData {
			start = p.GetStart()
		}
	}
	debugfs := func(request string) []byte {
		out, err := exec.Command("debugfs", "-R", request, fmt.Sprintf("%s?offset=%d", disk, start)).Output()
		if err != nil {
			t.Fatalf("debugfs: %v", err)
		}
		return out
	}
	records := debugfs("cat /entroos.db")
	for page := 0; (page+1)*block <= len(records); page++ {
		if !bytes.Contains(records[page*block:(page+1)*block], []byte(text)) {
			continue
		}
		number, err := strconv.ParseInt(strings.TrimSpace(string(debugfs(fmt.Sprintf("bmap /entroos.db %d", page)))), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sectors = append(sectors, (start+number*block)/512)
	}
	if len(sectors) == 0 {
		t.Fatalf("the records do not mention %s", text)
	}
	return sectors
}

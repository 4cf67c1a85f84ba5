//go:build vm

package qemu_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/appliance/bootslot"
	"github.com/entroos/entroos/appliance/fat"
	"github.com/entroos/entroos/ledger/proof"
	"github.com/entroos/entroos/qemu"
)

// Where the image's other partitions are, in MiB.
const settingsMiB, settingsSizeMiB, dataMiB = espMiB + espSizeMiB, 16, espMiB + espSizeMiB + 16

// TestPowerCuts pulls the plug at random moments, of boots and under a load of
// container runs, ENTROOS_POWER_CUTS times (20). The disks lose what was not
// flushed, or a random part of it. The box always comes back ready; every
// receipt that was acknowledged is there, once, and so is the output of every run
// that has returned; the file systems are sound.
// ENTROOS_SEED repeats a run's choices.
func TestPowerCuts(t *testing.T) {
	const boxes = 2
	cuts := environmentNumber(t, "ENTROOS_POWER_CUTS", 20)
	seed := environmentNumber(t, "ENTROOS_SEED", rand.Uint64())
	t.Logf("ENTROOS_POWER_CUTS=%d ENTROOS_SEED=%d", cuts, seed)
	for i := range uint64(boxes) {
		t.Run(fmt.Sprintf("box%d", i), func(t *testing.T) {
			t.Parallel()
			c := newCutBox(t, rand.New(rand.NewPCG(seed, i)))
			for n := range (cuts + boxes - 1 - i) / boxes {
				c.round(int(n))
			}
			c.finish()
		})
	}
}

func environmentNumber(t *testing.T, name string, standard uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// cutBox is a box whose plug is pulled again and again, and what it has
// acknowledged.
type cutBox struct {
	*box
	random *rand.Rand
	disk   *qemu.VolatileDisk
	path   string        // of the disk
	update string        // path of a UKI of a newer version
	boot   time.Duration // that the last boot took

	imported bool
	started  int               // runs that were acknowledged
	done     map[string]bool   // digests of the outputs of attached runs that have returned
	lines    int               // of output, so far: each run has one of its own
	kept     map[string]string // logs of containers whose run was acknowledged, by name
	seen     []receipt         // committed, oldest first
}

func newCutBox(t *testing.T, random *rand.Rand) *cutBox {
	t.Helper()
	u := readUKI(t)
	version := u.newer()
	raw := diskWithUpdate(t, u, "entroos_"+version+"+3.efi")
	// The first boot grows the data partition, unless it is cut.
	if err := os.Truncate(raw.File, raw.Size+256<<20); err != nil {
		t.Fatal(err)
	}
	c := &cutBox{
		random: random, path: raw.File, update: filepath.Join(filepath.Dir(raw.File), "update.efi"),
		boot: 25 * time.Second, done: make(map[string]bool), kept: make(map[string]string),
	}
	var err error
	if c.disk, err = qemu.NewVolatileDisk(raw.File, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.disk.Close(); err != nil {
			t.Error(err)
		}
	})
	c.box = newBox(t, func(cfg *qemu.Config) { cfg.Disks = []qemu.Disk{{Volatile: c.disk}} })
	return c
}

// round is one boot and its power cut.
func (c *cutBox) round(n int) {
	c.Helper()
	began := time.Now()
	var during string
	if c.random.Float64() < 0.55 {
		moment := time.Duration(c.random.Float64() * 1.1 * float64(c.boot))
		during = fmt.Sprintf("%v into the boot", moment.Round(time.Millisecond))
		c.start()
		time.Sleep(moment) // the random moment is the point
	} else {
		c.ready()
		c.check()
		c.prepare()
		// A slow machine needs longer for a run. Blessing comes 10 s after ready.
		moment := time.Duration(c.random.Float64() * float64(c.boot) / 3)
		if _, blessed := c.bootEntry(); !blessed {
			moment += time.Duration(c.random.IntN(2)) * 6 * time.Second
		}
		before := c.started
		c.load(moment)
		during = fmt.Sprintf("%v into the load, after %d runs", moment.Round(time.Millisecond), c.started-before)
	}
	if err := c.vm.PowerCut(); err != nil {
		c.Fatal(err)
	}
	survive := []float64{0, 1, c.random.Float64()}[c.random.IntN(3)]
	unflushed, lost, err := c.disk.PowerCut(c.random, survive)
	if err != nil {
		c.Fatal(err)
	}
	c.Logf("cut %d: %s; %d of %d sectors in the disk's cache lost; %v", n, during, lost, unflushed, time.Since(began).Round(100*time.Millisecond))
	if n%4 == 3 {
		c.checkCopy()
	}
	if c.random.Float64() < 0.4 {
		c.arm()
	}
}

func (c *cutBox) start() {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	if err := c.vm.Start(ctx); err != nil {
		c.Fatal(err)
	}
}

var readyOrNot = regexp.MustCompile(`entroos: (ready in|degraded)[^\r\n]*`)

// ready starts the box and waits until it is ready.
func (c *cutBox) ready() {
	c.Helper()
	began := time.Now()
	c.start()
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	found, err := c.vm.Expect(ctx, readyOrNot)
	if err != nil {
		c.Fatal(err)
	}
	if found[1] != "ready in" {
		c.Fatalf("after a power cut the box is %s", found[0])
	}
	c.boot = time.Since(began)
}

// prepare imports the image that the load runs, once: it has to stay.
func (c *cutBox) prepare() {
	c.Helper()
	if c.imported {
		if out := c.run("images"); !strings.Contains(out, "busybox") {
			c.Fatalf("the image that was imported is gone:\n%s", out)
		}
		return
	}
	c.importFixture("busybox.tar")
	c.imported = true
}

// load runs containers, several at once, for that time; the last run is cut off
// in the middle.
func (c *cutBox) load(most time.Duration) {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	for {
		c.lines++
		line := fmt.Sprintf("output %d of this box", c.lines)
		attached := c.lines%3 == 0
		args := []string{"run", "--rm", "busybox", "echo", line}
		name := ""
		switch {
		case attached && c.lines%2 == 0:
			name = fmt.Sprintf("kept-%d", c.lines)
			args = []string{"run", "--name", name, "busybox", "echo", line}
		case !attached:
			args = []string{"run", "-d", "--rm", "busybox", "sh", "-c", fmt.Sprintf("echo %s; sleep %d", line, c.random.IntN(3))}
		}
		_, stderr, exit, err := c.vm.Command(ctx, args...)
		switch {
		case ctx.Err() != nil:
			// The request may have come through, or not.
			return
		case err != nil:
			c.Fatalf("%s: %v", strings.Join(args, " "), err)
		case exit != 0:
			c.Fatalf("%s: exit %d: %s", strings.Join(args, " "), exit, stderr)
		}
		c.started++
		if attached {
			digest := sha256.Sum256([]byte(line + "\n"))
			c.done[hex.EncodeToString(digest[:])] = true
		}
		if name != "" {
			c.kept[name] = line + "\n"
		}
	}
}

// check waits until the ledger has all, and compares it with what was
// acknowledged.
func (c *cutBox) check() {
	c.Helper()
	var s status
	c.until("an empty outbox", func() (bool, string) {
		s = c.status()
		return s.Waiting == 0 && s.Committed >= uint64(c.started), fmt.Sprintf("%+v, with %d runs acknowledged", s, c.started)
	})
	c.seen = append(c.seen, c.newReceipts()...)
	if len(c.seen) < c.started {
		c.Fatalf("%d receipts for %d acknowledged runs", len(c.seen), c.started)
	}
	outputs := make(map[string]int)
	for i, r := range c.seen {
		if r.Sequence != uint64(i+1) {
			c.Fatalf("receipt %d has sequence number %d", i+1, r.Sequence)
		}
		outputs[r.Stdout]++
	}
	for digest := range c.done {
		if outputs[digest] != 1 {
			c.Fatalf("an acknowledged run has %d receipts, its output's digest is %s", outputs[digest], digest)
		}
	}
	for name, want := range c.kept {
		if got := c.run("logs", name); got != want {
			c.Fatalf("the log of an acknowledged run is %q, want %q", got, want)
		}
		c.run("rm", name)
		delete(c.kept, name)
	}
}

// newReceipts gives the receipts after those seen, oldest first. The last seen
// has to be as it was.
func (c *cutBox) newReceipts() []receipt {
	c.Helper()
	const limit = 200
	var found []receipt
	for before := ""; ; {
		args := []string{"ledger", "ls", "--json", "-n", strconv.Itoa(limit)}
		if before != "" {
			args = append(args, "--before", before)
		}
		var page []receipt
		if err := json.Unmarshal([]byte(c.run(args...)), &page); err != nil {
			c.Fatal(err)
		}
		for _, r := range page {
			if n := len(c.seen); n > 0 && r.Sequence <= uint64(n) {
				if r.Proof != c.seen[r.Sequence-1].Proof {
					c.Fatalf("receipt %d has another P than before", r.Sequence)
				}
				slices.Reverse(found)
				return found
			}
			found = append(found, r)
		}
		if len(page) < limit {
			slices.Reverse(found)
			return found
		}
		before = strconv.FormatUint(page[len(page)-1].Index, 10)
	}
}

// finish boots once more, checks all again from the beginning, and looks at the
// file systems after an orderly end.
func (c *cutBox) finish() {
	c.Helper()
	c.ready()
	c.seen = nil
	c.check()
	genesis, err := hex.DecodeString(c.status().GenesisHash)
	if err != nil || len(genesis) != 32 {
		c.Fatalf("the genesis is %x, %v", genesis, err)
	}
	for range min(3, len(c.seen)) {
		id := fmt.Sprintf("#%d", 1+c.random.IntN(len(c.seen)))
		if _, err := proof.Verify([]byte(c.run("ledger", "export", id)), [32]byte(genesis)); err != nil {
			c.Errorf("receipt %s: %v", id, err)
		}
	}
	c.powerOff()
	if unflushed, _, err := c.disk.PowerCut(c.random, 0); err != nil || unflushed != 0 {
		c.Errorf("after an orderly end %d sectors are not flushed (%v)", unflushed, err)
	}
	checkESP(c, c.path)
	checkFAT(c, c.path, settingsMiB, settingsSizeMiB)
	host(c, "e2fsck", "-fn", fmt.Sprintf("%s?offset=%d", c.path, dataMiB<<20))
	c.Logf("%d receipts, %d of attached runs, all there", len(c.seen), len(c.done))
}

// checkCopy mends a copy of the disk as the box does at its next boot, and has
// the host's programs look at it.
func (c *cutBox) checkCopy() {
	c.Helper()
	disk := filepath.Join(c.TempDir(), "copy.img")
	host(c, "cp", "--sparse=always", c.path, disk)
	defer os.Remove(disk)
	mendESP(c, disk)
	checkESP(c, disk)
	checkFAT(c, disk, settingsMiB, settingsSizeMiB)
	// In a file of its own: e2fsck loses the offset once it has replayed the
	// journal. 1 is "corrected".
	data := filepath.Join(c.TempDir(), "data.img")
	host(c, "dd", "if="+disk, "of="+data, "bs=1M", fmt.Sprintf("skip=%d", dataMiB), "conv=sparse", "status=none")
	defer os.Remove(data)
	command := exec.Command("e2fsck", "-p", data)
	if out, err := command.CombinedOutput(); err != nil && command.ProcessState.ExitCode() != 1 {
		c.Fatalf("e2fsck -p: %v: %s", err, out)
	}
	host(c, "e2fsck", "-fn", data)
}

// arm puts the newer UKI on trial, as an update does.
func (c *cutBox) arm() {
	c.Helper()
	mendESP(c, c.path)
	version := builtVersion(c)
	wanted := ""
	for _, name := range ukis(c, c.path) {
		uki, ok := bootslot.ParseName(name)
		if !ok {
			c.Fatalf("in EFI/Linux there is %q", name)
		}
		if uki.Version != version {
			host(c, "mdel", "-i", fmt.Sprintf("%s@@%dM", c.path, espMiB), "::EFI/Linux/"+name)
			wanted = "entroos_" + uki.Version + "+3.efi"
		}
	}
	if wanted == "" {
		return // lost with a rename of the firmware's; the next update brings it
	}
	host(c, "mcopy", "-i", fmt.Sprintf("%s@@%dM", c.path, espMiB), c.update, "::EFI/Linux/"+wanted)
}

// mendESP mends the disk's EFI system partition as a box does.
func mendESP(t testing.TB, disk string) {
	t.Helper()
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	report, err := fat.Mend(partition{f, espMiB << 20}, espSizeMiB<<20, fat.Rules{Precious: bootslot.Precious, Later: bootslot.Later})
	if err != nil || report.Left > 0 {
		t.Fatalf("mending the ESP: %v, %+v", err, report)
	}
	for _, fault := range report.Faults {
		t.Logf("ESP: %s", fault)
	}
}

// partition is a part of a disk.
type partition struct {
	*os.File
	begin int64
}

func (p partition) ReadAt(b []byte, at int64) (int, error)  { return p.File.ReadAt(b, p.begin+at) }
func (p partition) WriteAt(b []byte, at int64) (int, error) { return p.File.WriteAt(b, p.begin+at) }

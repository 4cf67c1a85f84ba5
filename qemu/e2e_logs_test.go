//go:build vm

package qemu_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// talk is an awk program that writes n numbered lines, each seventh of them on standard error.
func talk(n int) string {
	return fmt.Sprintf(`BEGIN { for (i = 1; i <= %d; i++) if (i %% 7) print "INFO request " i " from 10.0.0." i %% 250 " done in " rand() "s"; `+
		`else print "WARN request " i " took long" >"/dev/stderr" }`, n)
}

// TestLogs reads what containers and services wrote, in all the ways that there
// are, across a reboot and a power cut.
func TestLogs(t *testing.T) {
	t.Parallel()
	b := boot(t, nil)
	b.importFixture("busybox.tar")
	const lines = 40_000 // more than a block of the store
	out, errs, exit := b.try("run", "--name", "talker", "busybox", "awk", talk(lines))
	if exit != 0 {
		t.Fatalf("exit %d: %s", exit, errs)
	}
	numbers := regexp.MustCompile(`request ([0-9]+) `)

	// All of it, as it was written.
	checkLogs := func(when string) {
		t.Helper()
		if gotOut, gotErrs, _ := b.try("logs", "talker"); gotOut != out || gotErrs != errs {
			t.Errorf("%s: of %d and %d bytes, the log has %d and %d", when, len(out), len(errs), len(gotOut), len(gotErrs))
		}
		if gotOut, gotErrs, _ := b.try("logs", "-n", "7", "talker"); strings.Count(gotOut+gotErrs, "\n") != 7 || !strings.HasSuffix(out, gotOut) || !strings.HasSuffix(errs, gotErrs) {
			t.Errorf("%s: the last 7 lines are %q and %q", when, gotOut, gotErrs)
		}
		if gotOut, gotErrs, _ := b.try("logs", "-g", "^WARN request [0-9]+ took", "talker"); gotOut != "" || gotErrs != errs {
			t.Errorf("%s: --grep gives %d and %d bytes, of %d warnings", when, len(gotOut), len(gotErrs), len(errs))
		}
		if got := b.run("logs", "-F", "-g", "10.0.0.249 ", "talker"); strings.Count(got, "\n") != strings.Count(out, "10.0.0.249 ") || !strings.Contains(got, "request 249 ") {
			t.Errorf("%s: --grep -F gives %q", when, got)
		}
		if got := b.run("logs", "-iv", "-g", "INFO|warn", "talker"); got != "" {
			t.Errorf("%s: --grep -iv gives %q", when, got)
		}
	}
	checkLogs("written")

	// The time before a line is one that can be asked for.
	stamped := strings.Split(b.run("logs", "-t", "talker"), "\n")
	at, _, _ := strings.Cut(stamped[len(stamped)/2], " ")
	for _, c := range []struct {
		args []string
		want func(stamp string) bool
	}{
		{[]string{"--since", at}, func(s string) bool { return s >= at }},
		{[]string{"--until", at}, func(s string) bool { return s < at }},
		{[]string{"--since", "10m"}, func(string) bool { return true }},
		{[]string{"--until", "10m"}, func(string) bool { return false }},
	} {
		want := 0
		for _, line := range stamped {
			if stamp, _, ok := strings.Cut(line, " "); ok && c.want(stamp) {
				want++
			}
		}
		if got := b.run(append([]string{"logs", "talker"}, c.args...)...); strings.Count(got, "\n") != want {
			t.Errorf("%v gives %d lines of %d", c.args, strings.Count(got, "\n"), want)
		}
	}
	if _, stderr, exit := b.try("logs", "--grep", "a(b", "talker"); exit != 2 || !strings.Contains(stderr, "missing closing )") {
		t.Errorf("a bad expression: exit %d, %q", exit, stderr)
	}

	b.followLogs(numbers)
	b.checkServiceLogs()
	b.until("a block of the log", func() (bool, string) {
		out, _, _ := b.try("equations", "check", "--json") // 1 when a row fails
		return !strings.Contains(out, "no block was coded both ways yet"), out
	})
	// That of 56 is for blocks coded by order 0, those of 60 and 61 for blobs.
	b.checkRows(55, 57, 58, 59, 62, 63, 64)
	if out := b.run("status"); !regexp.MustCompile(`Logs: +[0-9.]+MiB, which take [0-9.]+KiB `).MatchString(out) {
		t.Errorf("status does not tell of the logs:\n%s", out)
	}

	// What was logged is there after a reboot, and what a run has reported, or is
	// some seconds old, after a power cut.
	b.run("run", "-d", "--name", "slow", "busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done")
	b.run("reboot")
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	if _, err := b.vm.Expect(ctx, readyLine); err != nil {
		t.Fatal(err)
	}
	checkLogs("after a reboot")
	b.checkCounted("slow", 1)
	kernel := b.run("services", "logs", "kernel", "-g", "Linux version")
	if strings.Count(kernel, "Linux version") != 2 {
		t.Errorf("the kernel's log has not both boots: %q", kernel)
	}
	if _, marks, _ := b.try("services", "logs", "init", "-g", "^-- EntroOS .* starts"); strings.Count(marks, "\n") != 1 {
		t.Errorf("the boots are set apart by %q", marks)
	}
	b.run("start", "slow")
	before := b.checkCounted("slow", 1)
	b.run("run", "--name", "last", "busybox", "echo", "acknowledged")
	time.Sleep(7 * time.Second) // what is older than 5 s is on disk
	if err := b.vm.PowerCut(); err != nil {
		t.Fatal(err)
	}
	b.powerOn()
	checkLogs("after a power cut")
	if got := b.run("logs", "last"); got != "acknowledged\n" {
		t.Errorf("an acknowledged run's log is %q", got)
	}
	if after := b.checkCounted("slow", 1); after < before {
		t.Errorf("of %d lines, %d are left", before, after)
	}
	b.run("rm", "-f", "slow", "last", "talker")
	if _, stderr, exit := b.try("logs", "talker"); exit == 0 {
		t.Errorf("a removed container has a log: %s", stderr)
	}
	b.checkReady("/dev/vda4")
}

// followLogs has `logs -f` see what is written while it looks, until its end.
func (b *box) followLogs(numbers *regexp.Regexp) {
	b.Helper()
	b.run("run", "-d", "--name", "counter", "busybox", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do echo request $i follows; sleep 0.5; done")
	out := b.run("logs", "-f", "counter")
	var seen []string
	for _, m := range numbers.FindAllStringSubmatch(out, -1) {
		seen = append(seen, m[1])
	}
	if want := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}; !slices.Equal(seen, want) {
		b.Errorf("logs -f gave %q", out)
	}
	if got := b.run("logs", "-f", "-n", "2", "-g", "[357] f", "counter"); got != "request 5 follows\nrequest 7 follows\n" {
		b.Errorf("logs -f of one that has ended gave %q", got)
	}
}

// checkServiceLogs looks for what each box's services say.
func (b *box) checkServiceLogs() {
	b.Helper()
	for service, text := range map[string]string{"kernel": "Linux version", "init": "verdict", "ledgerd": "."} {
		stdout, stderr, exit := b.try("services", "logs", service, "-g", text)
		if exit != 0 || stdout+stderr == "" {
			b.Errorf("services logs %s -g %q: exit %d, %q", service, text, exit, stderr)
		}
	}
}

// checkCounted checks that a container's log counts lines from 1 on, anew at each
// of its starts, and gives how many lines there are.
func (b *box) checkCounted(name string, from int) (lines int) {
	b.Helper()
	next := from
	for line := range strings.Lines(b.run("logs", name)) {
		n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "line "))
		if err != nil || n != next && n != 1 {
			b.Fatalf("the log of %s has %q where line %d should be", name, line, next)
		}
		next = n + 1
		lines++
	}
	return lines
}

// TestLogsAreBounded has a container write more than its log may take: the last
// of it is there, and the store does not grow beyond its bounds.
func TestLogsAreBounded(t *testing.T) {
	t.Parallel()
	b := boot(t, nil)
	b.importFixture("busybox.tar")
	before := b.status()
	// In base64, random bytes get no smaller than they were.
	const mebibytes = 45
	b.run("run", "-d", "--name", "flood", "busybox", "sh", "-c", fmt.Sprintf("head -c %dm /dev/urandom | base64; echo the end", mebibytes))
	for deadline := time.Now().Add(4 * commandDeadline); ; time.Sleep(pollInterval) {
		if out := b.run("logs", "-n", "1", "flood"); out == "the end\n" {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the last line is %q", out)
		}
	}
	// Nothing but the log has grown; what is dropped is used again.
	b.until("the log's oldest lines to go", func() (bool, string) {
		after := b.status()
		grown := int64(before.DataFree) - int64(after.DataFree)
		return grown < (mebibytes-10)<<20 && after.LogsStored <= 33<<20, fmt.Sprintf("%d MiB more on the disk, %d in logs", grown>>20, after.LogsStored>>20)
	})
}

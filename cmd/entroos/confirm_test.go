package main

import (
	"context"
	"os"
	"strings"
	"testing"
)

func TestConfirm(t *testing.T) {
	for answer, confirmed := range map[string]bool{
		"yes\n": true, " yes \n": true, "y\n": false, "no\n": false, "\n": false, "": false, "no\nyes\n": false,
	} {
		t.Run(strings.TrimSpace(answer), func(t *testing.T) {
			b, admin := serveFakeBox(t)
			trial := newTrial(admin)
			trial.terminal, trial.stdin = os.Stdin, strings.NewReader(answer)
			status := trial.execute(context.Background(), []string{"images", "prune"})
			if asked := b.asked() != nil; asked != confirmed || (status == 0) != confirmed {
				t.Errorf("exit %d, asked %t: %s", status, asked, trial.stderr.String())
			}
			if !strings.Contains(trial.stderr.String(), "This removes all images that no container uses.\n") {
				t.Errorf("stderr %q", trial.stderr.String())
			}
		})
	}
}

func TestReadLineLeavesTheRest(t *testing.T) {
	trial := newTrial("")
	r := strings.NewReader("yes\nreboot\n")
	trial.stdin = r
	if line, err := trial.readLine(context.Background()); line != "yes" || err != nil || r.Len() != len("reboot\n") {
		t.Errorf("%q, %v, %d bytes left", line, err, r.Len())
	}
}

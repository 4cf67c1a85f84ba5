package store

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// childEnv has TestMain be the process that TestKilled kills.
const childEnv = "STORE_TEST_CHILD"

// child appends until it is killed, and tells of each entry that Append has
// acknowledged.
func child(path string) {
	s, err := Open(path, Options{BlockSize: 16 << 10, CompactionShare: 1, CompactAfter: time.Nanosecond})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		text := fmt.Sprintf("entry %d %s\n", i, strings.Repeat("x", i%2000))
		last, err := s.Append(context.Background(), "log", Entry{Time: time.Now(), Kind: Stdout, Data: []byte(text)})
		if err != nil {
			fmt.Println("append:", err)
			os.Exit(1)
		}
		fmt.Println("ok", last, len(text))
	}
}

// TestKilled kills a process at any moment while it appends, seals and
// compacts: what was acknowledged is there.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	r := rand.New(rand.NewSource(time.Now().UnixNano()))
	sizes := map[uint64]int{} // of what was acknowledged
	for range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		kill := 1 + r.Intn(150)
		for i := 0; ; i++ {
			line, err := lines.ReadString('\n')
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			var last uint64
			var size int
			if _, err := fmt.Sscanf(line, "ok %d %d\n", &last, &size); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			sizes[last] = size
			if i == kill {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		s := open(t, path, Options{})
		found := 0
		if err := s.Read(t.Context(), "log", all, func(e Entry) error {
			size, told := sizes[e.Sequence]
			if told {
				found++
			}
			if told && size != len(e.Data) || !strings.HasPrefix(string(e.Data), "entry ") || !strings.HasSuffix(string(e.Data), "\n") {
				t.Errorf("entry %d: %d bytes, not %d", e.Sequence, len(e.Data), size)
			}
			return nil
		}); err != nil || found != len(sizes) {
			t.Fatalf("%d entries of the %d acknowledged, %v", found, len(sizes), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d entries were acknowledged", len(sizes))
}

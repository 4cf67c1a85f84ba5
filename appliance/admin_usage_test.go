package appliance

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func TestCgroupUsage(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  *entroosv1.Usage
	}{
		"all controllers": {
			map[string]string{
				"cpu.stat":       "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
				"memory.current": "4096\n", "memory.max": "8192\n", "pids.current": "3\n",
				"io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=99 dios=0\n254:0 rbytes=1 wbytes=2 rios=1 wios=1\n",
			},
			&entroosv1.Usage{CpuMicros: 1500000, MemoryBytes: 4096, MemoryLimitBytes: 8192, Pids: 3, IoReadBytes: 11, IoWriteBytes: 22},
		},
		"no limit and no I/O": {
			map[string]string{"cpu.stat": "usage_usec 7\n", "memory.current": "1\n", "memory.max": "max\n", "pids.current": "0\n", "io.stat": ""},
			&entroosv1.Usage{CpuMicros: 7, MemoryBytes: 1},
		},
		"the CPU alone": {map[string]string{"cpu.stat": "usage_usec 7\n"}, &entroosv1.Usage{CpuMicros: 7}},
	} {
		dir := t.TempDir()
		for file, text := range c.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := cgroupUsage(dir)
		if err != nil || !proto.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
	if _, err := cgroupUsage(filepath.Join(t.TempDir(), "gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a cgroup that is gone: %v", err)
	}
}

func TestOwnUsage(t *testing.T) {
	u, err := ownUsage()
	if err != nil {
		t.Fatal(err)
	}
	if u.Name != "init" || u.CpuMicros == 0 || u.MemoryBytes < 1<<20 || u.Pids == 0 {
		t.Errorf("%v", u)
	}
}

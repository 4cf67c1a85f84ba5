//go:build !guest

package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"path"
	"strings"
	"testing"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"google.golang.org/protobuf/encoding/protojson"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime/oci"
)

// checkWorkload checks what is promised of every workload that was resolved.
func checkWorkload(t *testing.T, w *Workload) {
	t.Helper()
	if len(w.Args) == 0 || w.Args[0] == "" || !path.IsAbs(w.Cwd) {
		t.Errorf("nothing to run: %q in %q", w.Args, w.Cwd)
	}
	if w.User.UID >= idsPerContainer || w.User.GID >= idsPerContainer {
		t.Errorf("user %+v", w.User)
	}
	keys := make(map[string]bool)
	for _, e := range w.Env {
		key, _, ok := strings.Cut(e, "=")
		if !ok || key == "" || keys[key] || strings.ContainsRune(e, 0) {
			t.Errorf("environment %q", e)
		}
		keys[key] = true
	}
	targets := make(map[string]bool)
	for _, m := range w.Mounts {
		if path.Clean(m.Target) != m.Target || !path.IsAbs(m.Target) || m.Target == "/" || targets[m.Target] {
			t.Errorf("mount %+v", m)
		}
		for below := path.Dir(m.Target); below != "/"; below = path.Dir(below) {
			for _, other := range w.Mounts[len(targets):] {
				if other.Target == below {
					t.Errorf("%s is mounted before %s", m.Target, below)
				}
			}
		}
		targets[m.Target] = true
	}
	if w.StopSignal < 1 || w.StopSignal > 64 || w.Limits.MemoryBytes < minMemoryBytes || w.Limits.Pids == 0 {
		t.Errorf("%+v", w)
	}
	if !bytes.Equal(w.Encode(), w.Encode()) {
		t.Error("its encoding changes")
	}
}

func FuzzResolve(f *testing.F) {
	for _, seed := range []string{
		`{"image":"test"}`,
		`{"image":"test","args":["a"],"env":["A=b","A=c"],"cwd":"x","user":"web:adm","hostname":"h","capAdd":["all"],"capDrop":["NET_RAW"]}`,
		`{"image":"test","mounts":[{"source":"v","target":"/a/b"},{"source":"/x/..","target":"/a"}],"ports":[{"hostPort":1,"containerPort":70000}]}`,
		`{"image":"sha256:","user":"0:99999999999","stopSignal":"RTMAX-31","stopTimeoutSeconds":4294967295}`,
		`{"image":"test","limits":{"memoryBytes":"18446744073709551615","pids":"1","cpuMilli":"5"},"network":"host"}`,
	} {
		f.Add([]byte(seed))
	}
	r := newTestRuntime(f, v1.Config{Cmd: []string{"/bin/true"}, Volumes: map[string]struct{}{"/v": {}}})
	f.Fuzz(func(t *testing.T, raw []byte) {
		spec := new(entroosv1.WorkloadSpec)
		if protojson.Unmarshal(raw, spec) != nil {
			return
		}
		w, err := r.Resolve(spec)
		if err != nil {
			checkPrintable(t, err)
			for _, known := range []error{ErrInvalid, oci.ErrNotFound, oci.ErrAmbiguous, oci.ErrName} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("refused, but not by name: %v", err)
		}
		checkWorkload(t, w)
	})
}

// checkPrintable checks that an error does not play with a terminal.
func checkPrintable(t *testing.T, err error) {
	t.Helper()
	if strings.ContainsFunc(err.Error(), unicode.IsControl) {
		t.Errorf("%q", err)
	}
}

// FuzzImageConfig has an image say how it is to be run.
func FuzzImageConfig(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"Cmd":["a"],"Env":["A","=","B=c","B=d"],"WorkingDir":"../x","User":"web","StopSignal":"SIGQUIT"}`,
		`{"Entrypoint":[""],"Volumes":{"/a":{},"/a/":{},"/":{},"relative":{},"/proc/x":{}}}`,
	} {
		f.Add([]byte(seed), []byte("root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:/bin/sh\n"), []byte("adm:x:4:root,web\n"))
	}
	f.Add([]byte(`{"User":":"}`), []byte("a:b\x00c:-1:1:::\n::::::\n"), []byte(":::\nx:x:99999999999999:\n"))
	f.Fuzz(func(t *testing.T, raw, passwd, group []byte) {
		var config v1.Config
		if json.Unmarshal(raw, &config) != nil {
			return
		}
		w := &Workload{}
		spec := &entroosv1.WorkloadSpec{Args: []string{"/program"}}
		user, home, err := lookupUser(config.User, passwd, group)
		if err == nil {
			w.User = user
			err = w.resolveProcess(spec, config, home)
		}
		for _, step := range []func() error{
			func() error { return w.resolveStop(spec, config) },
			func() error { return w.resolveMounts(nil, config.Volumes) },
			func() error { return w.resolveLimits(nil) },
		} {
			if err == nil {
				err = step()
			}
		}
		if err == nil {
			checkWorkload(t, w)
			return
		}
		checkPrintable(t, err)
		if !errors.Is(err, ErrInvalid) {
			t.Fatalf("refused, but not by name: %v", err)
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add([]byte("# by dhcp\nnameserver 10.0.2.3\nsearch lan\nnameserver 127.0.0.53\noptions edns0"))
	f.Add([]byte("nameserver ::1\nnameserver\t0.0.0.0 \nnameserver fe80::1%eth0\nnameserver ::ffff:127.0.0.1\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		kept := withoutLoopback(content)
		if again := withoutLoopback(kept); !bytes.Equal(again, kept) {
			t.Fatalf("%q, and again %q", kept, again)
		}
		for line := range strings.Lines(string(kept)) {
			f := strings.Fields(line)
			if len(f) < 2 || f[0] != "nameserver" {
				continue
			}
			if a, err := netip.ParseAddr(f[1]); err == nil && (a.Unmap().IsLoopback() || a.Unmap().IsUnspecified()) {
				t.Fatalf("a container would ask %s", a)
			}
		}
	})
}

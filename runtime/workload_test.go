//go:build !guest

package runtime

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"pgregory.net/rapid"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime/network"
	"github.com/entroos/entroos/runtime/oci"
)

func TestEncoding(t *testing.T) {
	w := &Workload{
		Args: []string{"/a", ""}, Env: []string{"K=v"}, Cwd: "/", User: User{1, 2, []uint32{3}}, Hostname: "h",
		Mounts: []Mount{{"s", "/t", true}}, Tty: true, Capabilities: []string{"CAP_KILL"}, Limits: Limits{1, 2, 3},
		Network: NetworkBridge, Ports: []network.Port{{HostIP: netip.MustParseAddr("1.2.3.4"), HostPort: 258, ContainerPort: 80, Protocol: "tcp"}},
		StopSignal: 15, StopTimeoutSeconds: 10,
	}
	str := func(s string) string { return fmt.Sprintf("%08x%x", len(s), s) }
	want := str("entroos/workload/v1") + "00000002" + str("/a") + str("") + "00000001" + str("K=v") + str("/") +
		"00000001" + "00000002" + "00000001" + "00000003" + str("h") + "00000001" + str("s") + str("/t") + "01" +
		"00" + "01" + "00" + "00000001" + str("CAP_KILL") + "0000000000000001" + "0000000000000002" + "0000000000000003" +
		str("bridge") + "00000001" + str("1.2.3.4") + "0102" + "0050" + str("tcp") + "0000000f" + "0000000a"
	if got := hex.EncodeToString(w.Encode()); got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
}

func drawWorkload(t *rapid.T, label string) *Workload {
	// Short strings of few letters make collisions of careless encodings likely.
	text := rapid.StringMatching(`[a=]{0,2}`)
	texts := rapid.SliceOfN(text, 0, 2)
	w := &Workload{
		Args: texts.Draw(t, label+"args"), Env: texts.Draw(t, label+"env"), Cwd: text.Draw(t, label+"cwd"),
		User:     User{rapid.Uint32Range(0, 1).Draw(t, label+"uid"), 0, rapid.SliceOfN(rapid.Uint32Range(0, 1), 0, 2).Draw(t, label+"groups")},
		Hostname: text.Draw(t, label+"hostname"), ReadOnly: rapid.Bool().Draw(t, label+"ro"), Tty: rapid.Bool().Draw(t, label+"tty"),
		Capabilities: texts.Draw(t, label+"caps"), Network: text.Draw(t, label+"net"),
	}
	for range rapid.IntRange(0, 2).Draw(t, label+"mounts") {
		w.Mounts = append(w.Mounts, Mount{text.Draw(t, label+"source"), text.Draw(t, label+"target"), false})
	}
	return w
}

func TestEncodingTellsWorkloadsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawWorkload(t, "a "), drawWorkload(t, "b ")
		if equal := reflect.DeepEqual(a, b); equal != bytes.Equal(a.Encode(), b.Encode()) || equal != (a.Digest() == b.Digest()) {
			t.Fatalf("equal: %t\n%x\n%x", equal, a.Encode(), b.Encode())
		}
	})
}

func TestResolveDefaults(t *testing.T) {
	r := newTestRuntime(t, v1.Config{
		Entrypoint: []string{"/entry"}, Cmd: []string{"image", "args"}, Env: []string{"A=1", "PATH=/bin"}, User: "web",
		WorkingDir: "/srv/../srv", StopSignal: "SIGQUIT",
	})
	w, err := r.Resolve(&entroosv1.WorkloadSpec{Image: "test"})
	if err != nil {
		t.Fatal(err)
	}
	want := Workload{
		Image: "test", ImageDigest: w.ImageDigest, ImageEntropy: w.ImageEntropy, Args: []string{"/entry", "image", "args"}, Env: []string{"PATH=/bin", "HOME=/var/www", "A=1"},
		Cwd: "/srv", User: User{33, 33, []uint32{4}}, Capabilities: defaultCapabilities,
		Limits: Limits{DefaultMemoryBytes, DefaultPids, 0}, Network: NetworkBridge, StopSignal: 3, StopTimeoutSeconds: 10,
	}
	if !reflect.DeepEqual(*w, want) {
		t.Errorf("\n%+v\n%+v", *w, want)
	}
	if e := w.ImageEntropy; !e.Known || e.Bytes == 0 || e.Share <= 0 || e.Share >= 1 {
		t.Errorf("the image's entropy is %+v", e)
	}
	if image, err := r.Image("test"); err != nil || image.Digest != "sha256:"+hex.EncodeToString(w.ImageDigest[:]) {
		t.Errorf("digest %x, %v", w.ImageDigest, err)
	}
	w, err = r.Resolve(&entroosv1.WorkloadSpec{
		Image: "test", Args: []string{"mine"}, Env: []string{"A=2", "B=3"}, Cwd: "/tmp", User: "0:33", Hostname: "box", Tty: true,
		StopSignal: "TERM", StopTimeoutSeconds: 3, Network: "none", CapAdd: []string{"net_admin"}, CapDrop: []string{"CAP_KILL"},
		Limits: &entroosv1.Limits{MemoryBytes: 64 << 20, Pids: 5, CpuMilli: 500},
		Mounts: []*entroosv1.VolumeMount{{Source: "data", Target: "/data/"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(w.Args, []string{"/entry", "mine"}) || !slices.Equal(w.Env, []string{"PATH=/bin", "HOME=/root", "TERM=xterm", "HOSTNAME=box", "A=2", "B=3"}) ||
		w.Cwd != "/tmp" || !reflect.DeepEqual(w.User, User{0, 33, nil}) || w.StopSignal != 15 || w.StopTimeoutSeconds != 3 || w.Network != "none" ||
		w.Limits != (Limits{64 << 20, 5, 500}) || w.Mounts[0] != (Mount{"data", "/data", false}) ||
		!slices.Contains(w.Capabilities, "CAP_NET_ADMIN") || slices.Contains(w.Capabilities, "CAP_KILL") {
		t.Errorf("%+v", *w)
	}
	w, err = r.Resolve(&entroosv1.WorkloadSpec{Image: "test", SetEntrypoint: true, Entrypoint: []string{"/other"}})
	if err != nil || !slices.Equal(w.Args, []string{"/other"}) {
		t.Errorf("%v, %v", w, err)
	}
}

func TestResolveRefuses(t *testing.T) {
	r := newTestRuntime(t, v1.Config{Cmd: []string{"/run"}})
	port := func(host string, from, to uint32, protocol string) *entroosv1.WorkloadSpec {
		return &entroosv1.WorkloadSpec{Ports: []*entroosv1.PortMapping{{HostIp: host, HostPort: from, ContainerPort: to, Protocol: protocol}}}
	}
	mount := func(source, target string) *entroosv1.WorkloadSpec {
		return &entroosv1.WorkloadSpec{Mounts: []*entroosv1.VolumeMount{{Source: source, Target: target}}}
	}
	for what, spec := range map[string]*entroosv1.WorkloadSpec{
		"no program":         {SetEntrypoint: true},
		"zero byte":          {Args: []string{"a\x00b"}},
		"environment":        {Env: []string{"NOVALUE"}},
		"environment's key":  {Env: []string{"=x"}},
		"relative folder":    {Cwd: "srv"},
		"unknown user":       {User: "nobody-here"},
		"unknown group":      {User: "0:nobody-here"},
		"user out of range":  {User: "huge"},
		"user id too large":  {User: "65536"},
		"hostname":           {Hostname: "-x"},
		"hostname's length":  {Hostname: strings.Repeat("x", 64)},
		"signal":             {StopSignal: "SIGNOTHING"},
		"signal's number":    {StopSignal: "65"},
		"network":            {Network: "other"},
		"capability":         {CapAdd: []string{"fly"}},
		"dropped capability": {CapDrop: []string{"fly"}},
		"little memory":      {Limits: &entroosv1.Limits{MemoryBytes: 1 << 20}},
		"much memory":        {Limits: &entroosv1.Limits{MemoryBytes: 1 << 63}},
		"many processes":     {Limits: &entroosv1.Limits{Pids: 1 << 30}},
		"little CPU":         {Limits: &entroosv1.Limits{CpuMilli: 1}},
		"host port":          port("", 0, 80, ""),
		"host port's size":   port("", 65536, 80, ""),
		"container port":     port("", 80, 0, "tcp"),
		"protocol":           port("", 80, 80, "sctp"),
		"host address":       port("box", 80, 80, ""),
		"IPv6":               port("::1", 80, 80, ""),
		"ports without net":  {Network: "host", Ports: port("", 80, 80, "").Ports},
		"port twice":         {Ports: append(port("", 80, 80, "").Ports, port("1.2.3.4", 80, 81, "").Ports...)},
		"relative target":    mount("data", "data"),
		"root as target":     mount("data", "/x/.."),
		"proc as target":     mount("data", "/proc/sys"),
		"target twice":       {Mounts: append(mount("a", "/x").Mounts, mount("b", "/x/").Mounts...)},
		"volume's name":      mount("../data", "/data"),
		"no volume":          mount("", "/data"),
	} {
		spec.Image = "test"
		if w, err := r.Resolve(spec); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", what, w, err)
		}
	}
	if _, err := r.Resolve(&entroosv1.WorkloadSpec{Image: "missing"}); !errors.Is(err, oci.ErrNotFound) {
		t.Error(err)
	}
	if _, err := r.Resolve(&entroosv1.WorkloadSpec{}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]int{"9": 9, "KILL": 9, "sigterm": 15, "SIGUSR1": 10, "SIGRTMIN+3": 37, "RTMAX-1": 63} {
		if got, err := ParseSignal(s); err != nil || got != want {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
}

func TestCapabilities(t *testing.T) {
	for _, tt := range []struct {
		add, drop, want []string
	}{
		{nil, []string{"all"}, nil},
		{[]string{"chown"}, []string{"ALL"}, []string{"CAP_CHOWN"}},
		{[]string{"CAP_SYS_ADMIN", "sys_admin"}, nil, slices.Sorted(slices.Values(append(slices.Clone(defaultCapabilities), "CAP_SYS_ADMIN")))},
		{[]string{"sys_admin"}, []string{"sys_admin"}, defaultCapabilities},
	} {
		got, err := resolveCapabilities(tt.add, tt.drop)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%v, %v: %v, %v", tt.add, tt.drop, got, err)
		}
	}
	all, err := resolveCapabilities([]string{"ALL"}, []string{"kill"})
	if err != nil || len(all) < 35 || slices.Contains(all, "CAP_KILL") {
		t.Errorf("%v, %v", all, err)
	}
}

func TestVolumesOfDeclaredWorkloads(t *testing.T) {
	r := newTestRuntime(t, v1.Config{Cmd: []string{"/run"}, Volumes: map[string]struct{}{"/data": {}, "/named": {}, "/other": {}}})
	sources := func(name string, declared bool, memory uint64) map[string]string {
		t.Helper()
		w, err := r.Resolve(&entroosv1.WorkloadSpec{
			Name: name, Image: "test", Declared: declared, Limits: &entroosv1.Limits{MemoryBytes: memory},
			Mounts: []*entroosv1.VolumeMount{{Source: "mine", Target: "/named"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		all := make(map[string]string)
		for _, m := range w.Mounts {
			all[m.Target] = m.Source
		}
		return all
	}
	if got := sources("db", false, 0); got["/data"] != "" || got["/named"] != "mine" {
		t.Errorf("of one that is not declared: %v", got)
	}
	db := sources("db", true, 0)
	if again := sources("db", true, 64<<20); !reflect.DeepEqual(again, db) {
		t.Errorf("after a change: %v, was %v", again, db)
	}
	other := sources("db2", true, 0)
	if db["/data"] == "" || db["/data"] == db["/other"] || db["/data"] == other["/data"] || db["/named"] != "mine" {
		t.Errorf("%v; of another: %v", db, other)
	}
	if _, err := r.Resolve(&entroosv1.WorkloadSpec{Name: "../db", Image: "test", Declared: true}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a name that leads elsewhere: %v", err)
	}
}

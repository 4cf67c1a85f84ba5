package appliance

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/config"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	s := NewSettings()
	if err := s.ReadBuiltIn(filepath.Join(dir, "none")); err != nil || s.Config().Hostname != "entroos" {
		t.Errorf("without a file: %+v, %v", s.Config(), err)
	}
	if err := s.ReadBuiltIn(writeFile(t, filepath.Join(dir, "broken"), "hostnme: x")); err == nil || s.Config().Hostname != "entroos" {
		t.Errorf("with a broken built-in file: %+v, %v", s.Config(), err)
	}
	if err := s.ReadBuiltIn(writeFile(t, filepath.Join(dir, "built-in"), "hostname: factory\nnetwork: {dns: [10.0.0.1]}")); err != nil {
		t.Fatal(err)
	}
	_, changed := s.Watch()
	s.ReadOwn(writeFile(t, filepath.Join(dir, "broken"), "hostname: mine\nnetwork: {dsn: []}\nbad: 1"))
	if s.Config().Hostname != "factory" || s.Complete() {
		t.Errorf("a broken file holds: %+v", s.Config())
	}
	const want = "the box's own settings are not followed, and the built-in ones are: appliance.yaml:2:11: network: there is no key \"dsn\" here; " +
		"there are dns, interfaces (and 1 more); `config show` tells more, `config set` mends it"
	if s.Problem() != want {
		t.Errorf("problem\n%s, want\n%s", s.Problem(), want)
	}
	select {
	case <-changed:
		t.Error("a broken file is told as a change")
	default:
	}
	s.ReadOwn(writeFile(t, filepath.Join(dir, "own"), "hostname: mine"))
	if c := s.Config(); c.Hostname != "mine" || !slices.Equal(c.Network.DNS, []string{"10.0.0.1"}) || s.Problem() != "" || !s.Complete() {
		t.Errorf("%+v, problem %q", c, s.Problem())
	}
	select {
	case <-changed:
	default:
		t.Error("a change is not told")
	}
	s.ReadOwn(dir) // a folder
	if s.Problem() == "" || s.Complete() {
		t.Error("a file that cannot be read is no problem")
	}
}

// ownAt has the box keep its own settings in a plain folder, and notes the
// remounts.
func (b *testBox) ownAt(dir string, failing *error) (file string, remounts *[]bool) {
	remounts = new([]bool)
	b.own = &ownSettings{path: filepath.Join(dir, "appliance.yaml"), remount: func(w bool) error {
		if w && *failing != nil {
			return *failing
		}
		*remounts = append(*remounts, w)
		return nil
	}}
	return b.own.path, remounts
}

func TestSetConfig(t *testing.T) {
	b := newTestBox(t)
	var failing error
	file, remounts := b.ownAt(t.TempDir(), &failing)
	set := func(r *entroosv1.SetConfigRequest) error {
		_, err := b.admin.SetConfig(t.Context(), connect.NewRequest(r))
		return err
	}
	holds := func(want string) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil || string(text) != want {
			t.Errorf("the file is %q, %v, want %q", text, err, want)
		}
	}
	if err := set(&entroosv1.SetConfigRequest{File: "# mine\nhostname: one\n"}); err != nil {
		t.Fatal(err)
	}
	holds("# mine\nhostname: one\n")
	if err := set(&entroosv1.SetConfigRequest{Key: "network.dns", Value: "[10.0.0.1]"}); err != nil {
		t.Fatal(err)
	}
	holds("# mine\nhostname: one\nnetwork:\n  dns: [10.0.0.1]\n")
	if b.Config().Hostname != "one" || len(b.Config().Network.DNS) != 1 {
		t.Errorf("%+v", b.Config())
	}
	for _, r := range []*entroosv1.SetConfigRequest{
		{Key: "hostname", Value: "a.b"},
		{Key: "hostnme", Value: "a"},
		{File: "hostname: 5"},
		{File: "hostname: a", Key: "hostname", Value: "a"},
	} {
		if err := set(r); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%v: %v", r, err)
		}
	}
	failing = errors.New("the settings partition is not mounted")
	if err := set(&entroosv1.SetConfigRequest{Key: "hostname", Value: "two"}); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Error(err)
	}
	failing = nil
	holds("# mine\nhostname: one\nnetwork:\n  dns: [10.0.0.1]\n")
	if b.Config().Hostname != "one" {
		t.Errorf("what was refused holds: %+v", b.Config())
	}
	if want := []bool{true, false, true, false}; !slices.Equal(*remounts, want) {
		t.Errorf("remounts %v, want %v", *remounts, want)
	}
	got, err := b.admin.GetConfig(t.Context(), connect.NewRequest(&entroosv1.GetConfigRequest{}))
	if err != nil || got.Msg.GetOwn() != "# mine\nhostname: one\nnetwork:\n  dns: [10.0.0.1]\n" || !strings.Contains(got.Msg.GetEffective(), "port: 22") || got.Msg.GetProblem() != "" {
		t.Errorf("%v, %v", got, err)
	}
	if err := set(&entroosv1.SetConfigRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) || b.Config().Hostname != "entroos" {
		t.Errorf("after a reset: %v, %+v", err, b.Config())
	}
	// Only an image that is built anew has what these need.
	pending, err := b.admin.SetConfig(t.Context(), connect.NewRequest(&entroosv1.SetConfigRequest{
		File: "images: [a.tar]\nservices: [{package: example.com/surely/missing}]\nhostname: three\n",
	}))
	if err != nil || !slices.Equal(pending.Msg.GetPendingKeys(), []string{"images", "services"}) {
		t.Errorf("pending %v, %v", pending, err)
	}
	checked, err := b.admin.CheckConfig(t.Context(), connect.NewRequest(&entroosv1.CheckConfigRequest{Yaml: "hostname: four"}))
	if err != nil || !strings.HasPrefix(checked.Msg.GetEffective(), "hostname: four\n") || b.Config().Hostname != "three" {
		t.Errorf("%v, %v", checked, err)
	}
	if _, err := b.admin.CheckConfig(t.Context(), connect.NewRequest(&entroosv1.CheckConfigRequest{Yaml: "hostname: [a]"})); connect.CodeOf(err) != connect.CodeInvalidArgument ||
		!strings.Contains(err.Error(), "appliance.yaml:1:11: ") {
		t.Error(err)
	}
}

// TestBrokenSettingsAreMended breaks the box's own file and mends it by
// replacing it.
func TestBrokenSettingsAreMended(t *testing.T) {
	b := newTestBox(t)
	var failing error
	file, _ := b.ownAt(t.TempDir(), &failing)
	b.Settings.ReadOwn(writeFile(t, file, "hostname: [\n"))
	if !slices.Contains(b.Problems(), b.Settings.Problem()) || len(b.faults()) != 0 {
		t.Errorf("problems %q, faults %q", b.Problems(), b.faults())
	}
	_, err := b.admin.SetConfig(t.Context(), connect.NewRequest(&entroosv1.SetConfigRequest{Key: "hostname", Value: "x"}))
	if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "config reset") {
		t.Errorf("a key set in a broken file: %v", err)
	}
	if _, err := b.admin.SetConfig(t.Context(), connect.NewRequest(&entroosv1.SetConfigRequest{File: "hostname: mended"})); err != nil {
		t.Fatal(err)
	}
	if b.Settings.Problem() != "" || b.Config().Hostname != "mended" {
		t.Errorf("%q, %+v", b.Settings.Problem(), b.Config())
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// TestServicesFollowTheSettings runs programs as services: one that lasts, one
// that has done its work, and one that is not there.
func TestServicesFollowTheSettings(t *testing.T) {
	b := newTestBox(t)
	dir := t.TempDir()
	for name, script := range map[string]string{
		"lasting": "#!/bin/sh\necho \"$HOME $PWD $1 $A $GOKRAZY_FIRST_START\" >\"$OUT\"\nexec sleep 1000\n",
		"once":    "#!/bin/sh\nexit 0\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "out")
	f := &follower{box: b.Box, programs: dir, home: filepath.Join(dir, "home"), services: make(map[string]config.Service)}
	follow := func(yaml string) {
		t.Helper()
		b.Settings.ReadOwn(writeFile(t, filepath.Join(dir, "yaml"), yaml))
		if p := b.Settings.Problem(); p != "" {
			t.Fatal(p)
		}
		f.follow(b.Config())
	}
	follow("services:\n" +
		"- {package: example.com/lasting, args: [one], env: [A=b, OUT=" + out + "]}\n" +
		"- {package: example.com/once}\n" +
		"- {package: example.com/missing/v2}\n")
	if p := f.Problems(); len(p) != 1 || !strings.HasPrefix(p[0], "service missing: its program is not in this image") {
		t.Errorf("problems %q", p)
	}
	home := filepath.Join(dir, "home", "lasting")
	want := home + " " + home + " one b 1\n"
	eventually(t, "the lasting service writes", func() bool { text, err := os.ReadFile(out); return err == nil && string(text) == want })
	once := b.Supervisor.Service("once")
	eventually(t, "the other has done its work", func() bool { return once.Status().State == "stopped" })

	first := b.Supervisor.Service("lasting")
	follow("services:\n- {package: example.com/lasting, args: [two], env: [OUT=" + out + "]}\n")
	if len(f.Problems()) != 0 || b.Supervisor.Service("once") != nil {
		t.Errorf("problems %q", f.Problems())
	}
	if b.Supervisor.Service("lasting") == first {
		t.Error("a service with other arguments is the same")
	}
	eventually(t, "it runs anew", func() bool {
		text, err := os.ReadFile(out)
		return err == nil && strings.HasSuffix(string(text), " two  1\n")
	})
	second := b.Supervisor.Service("lasting")
	follow("hostname: other\nservices:\n- {package: example.com/lasting, args: [two], env: [OUT=" + out + "]}\n")
	if b.Supervisor.Service("lasting") != second {
		t.Error("a service that has not changed was started anew")
	}
	follow("services: []\n")
	if len(b.Supervisor.Services()) != 0 {
		t.Errorf("services that nobody wants: %v", b.Supervisor.Services())
	}
}

// TestNameThatARenameLeaves: a power cut may leave both names for one file.
func TestNameThatARenameLeaves(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"appliance.yaml", "appliance.yaml.new", true},
		{"APPLIANCE.YAML", "appliance.yaml.new", true},
		{"appliance.yaml.new", "appliance.yaml", false},
		{"EFI/Linux/entroos_0.2.0.efi", "EFI/Linux/entroos_0.2.0+1-2.efi", true},
	} {
		if got := laterName(c.a, c.b); got != c.want {
			t.Errorf("%s is later than %s: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// TestSettingsReplacedButNotSettled has an error after the new file took the
// old one's place.
func TestSettingsReplacedButNotSettled(t *testing.T) {
	b := newTestBox(t)
	stuck := errors.New("device or resource busy")
	b.own = &ownSettings{path: filepath.Join(t.TempDir(), "appliance.yaml"), remount: func(writable bool) error {
		if writable {
			return nil
		}
		return stuck
	}}
	for file, hostname := range map[string]string{"hostname: one": "one", "": "entroos"} {
		_, err := b.admin.SetConfig(t.Context(), connect.NewRequest(&entroosv1.SetConfigRequest{File: file}))
		if err == nil || !strings.Contains(err.Error(), stuck.Error()) || strings.Contains(err.Error(), "as they were") {
			t.Errorf("%q: %v", file, err)
		}
		if b.Config().Hostname != hostname {
			t.Errorf("%q is in the file, and the hostname is %s", file, b.Config().Hostname)
		}
	}
}

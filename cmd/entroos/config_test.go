package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/config"
)

const brokenOwn = "appliance.yaml:1:1: there is no key \"hostnme\""

func (b *fakeBox) GetConfig(_ context.Context, r *connect.Request[entroosv1.GetConfigRequest]) (*connect.Response[entroosv1.GetConfigResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.GetConfigResponse{
		BuiltIn: "hostname: factory\n", Own: "hostnme: \x1b[2Jmine\n", Effective: "hostname: factory\nssh:\n  port: 22\n", Problem: brokenOwn,
	}), nil
}

func (b *fakeBox) SetConfig(_ context.Context, r *connect.Request[entroosv1.SetConfigRequest]) (*connect.Response[entroosv1.SetConfigResponse], error) {
	b.note(r.Msg)
	switch {
	case r.Msg.Value == "a.b":
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("appliance.yaml:1:11: hostname: \"a.b\" is no host name"))
	case r.Msg.Key == "images":
		return connect.NewResponse(&entroosv1.SetConfigResponse{PendingKeys: []string{"images"}}), nil
	}
	return connect.NewResponse(&entroosv1.SetConfigResponse{}), nil
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	good, bad, empty := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml"), filepath.Join(dir, "empty.yaml")
	for file, text := range map[string]string{good: "hostname: box\n", bad: "hostname: box\nport: 5\n", empty: "\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	badText := "entroos: " + bad + ":2:1: there is no key \"port\" here; there are console, hostname, images, labels, network, resources, services, ssh, time, workloads\n" +
		"  2 | port: 5\n    | ^\n"
	const broken = "entroos: the box's own settings are not followed, and the built-in ones are:\n" + brokenOwn + "\n"
	for _, c := range []struct {
		line           string
		asked          proto.Message // nil is nothing
		status         int
		stdout, stderr string
	}{
		{"config check " + good, nil, 0, good + " is in order\n", ""},
		{"config check " + bad, nil, 1, "", badText},
		{"config check " + filepath.Join(dir, "none"), nil, 1, "", "entroos: open " + filepath.Join(dir, "none") + ": no such file or directory\n"},
		{"config check", &entroosv1.GetConfigRequest{}, 1, "", "entroos: " + brokenOwn + "\n"},
		{"config show", &entroosv1.GetConfigRequest{}, 1, "hostname: factory\nssh:\n  port: 22\n", broken},
		{"config show --built-in", &entroosv1.GetConfigRequest{}, 0, "hostname: factory\n", ""},
		{"config show --own", &entroosv1.GetConfigRequest{}, 1, "hostnme: [2Jmine\n", broken},
		{"config set hostname cupboard", &entroosv1.SetConfigRequest{Key: "hostname", Value: "cupboard"}, 0, "saved, and in effect\n", ""},
		{"config set hostname a.b", &entroosv1.SetConfigRequest{Key: "hostname", Value: "a.b"}, 1, "", "entroos: appliance.yaml:1:11: hostname: \"a.b\" is no host name\n"},
		{"config set images [a.tar]", &entroosv1.SetConfigRequest{Key: "images", Value: "[a.tar]"}, 0, "saved; images take effect with an image that is built with them (`image build --config`), all else now\n", ""},
		{"config set --file " + good, &entroosv1.SetConfigRequest{File: "hostname: box\n"}, 0, "saved, and in effect\n", ""},
		{"config set --file " + bad, nil, 1, "", badText},
		{"config set --file " + empty, nil, 1, "", "entroos: " + empty + " is empty; `config reset` takes the box's own settings away\n"},
		{"config set hostname", nil, 2, "", "entroos: entroos config set: accepts 2 arg(s), received 1\nusage: entroos config set KEY VALUE | --file FILE\n"},
		{"config unset hostname", &entroosv1.SetConfigRequest{Key: "hostname"}, 0, "saved, and in effect\n", ""},
		{"config reset", &entroosv1.SetConfigRequest{}, 0, "saved, and in effect\n", ""},
		{"config example", nil, 0, config.Example, ""},
		{"config schema", nil, 0, config.Schema, ""},
	} {
		t.Run(c.line, func(t *testing.T) {
			b, stdout, stderr, status := do(t, strings.Fields(c.line)...)
			if status != c.status || stdout != c.stdout || stderr != c.stderr {
				t.Errorf("exit %d, stdout %q, stderr\n%q\nwant %d, %q,\n%q", status, stdout, stderr, c.status, c.stdout, c.stderr)
			}
			if got := b.asked(); (got == nil) != (c.asked == nil) || got != nil && !proto.Equal(got, c.asked) {
				t.Errorf("asked %v, want %v", got, c.asked)
			}
		})
	}
}

func TestConfigPassword(t *testing.T) {
	b, address := serveFakeBox(t)
	for _, c := range []struct {
		args []string
		in   string
		want int
	}{
		{[]string{"config", "password"}, "secret\nmore\n", 0},
		{[]string{"config", "password", "--set"}, "secret", 0},
		{[]string{"config", "password"}, "\n", 1},
		{[]string{"config", "password"}, strings.Repeat("x", 73), 1},
	} {
		var stdout, stderr strings.Builder
		env := &environment{
			stdin: strings.NewReader(c.in), stdout: &stdout, stderr: &stderr, admin: address, interrupts: &interrupts{}, columns: func() int { return 0 },
		}
		if status := env.execute(t.Context(), c.args); status != c.want {
			t.Fatalf("%q: exit %d: %s", c.args, status, stderr.String())
		}
		if c.want != 0 {
			continue
		}
		hash := strings.TrimSpace(stdout.String())
		if len(c.args) == 3 {
			r, ok := b.asked().(*entroosv1.SetConfigRequest)
			if !ok || r.Key != "console.password" {
				t.Fatalf("asked %v", b.asked())
			}
			hash = strings.Trim(r.Value, "'")
			if _, err := config.Set("f", nil, r.Key, r.Value); err != nil {
				t.Error(err)
			}
		}
		if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte("secret")); err != nil {
			t.Errorf("%q: %q: %v", c.args, hash, err)
		}
		if _, err := config.Parse("f", []byte("console: {password: '"+hash+"'}")); err != nil {
			t.Error(err)
		}
	}
}

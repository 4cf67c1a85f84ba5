package config_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/entroos/entroos/appliance/config"
)

const (
	ed25519Key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINiGvRPsG2JObT2fw4QA4Kz2SLV4RvAzR6nMD3pEPV6p ana@desk"
	bcryptHash = "$2a$10$tJB/FgcF.CcmAnrnuy0gWuD7XoSBGfU5tvPpawEQN62fU/mVertUK"
)

const full = `
hostname: cupboard
network:
  interfaces:
    eth0:
      addresses: [192.168.1.7/24, "fd00::7/64"]
      gateway: 192.168.1.1
    eth1:
      dhcp: true
  dns: [192.168.1.1, "2606:4700::1111"]
time:
  servers: [pool.ntp.org, 10.0.0.1]
console:
  password: ` + bcryptHash + `
ssh:
  authorized_keys:
    - ` + ed25519Key + `
  port: 2222
resources:
  target: 0.5
services:
  - package: github.com/gokrazy/hello/v2
    version: v0.1.0
    args: [-v]
    env: ["A=b=c"]
    wait_for_clock: true
workloads:
  - name: web
    image: nginx
    ports: [80:80, 127.0.0.1:53:53/udp]
    volumes: [www:/usr/share/nginx/html:ro]
    restart: on-failure:3
    memory: 64m
    cpus: 0.5
    pids: 100
    entrypoint: []
  - name: off
    image: busybox
    restart: no
images: [nginx.tar]
`

func TestParse(t *testing.T) {
	c, err := config.Parse("f.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	want := &config.Config{
		Hostname: "cupboard",
		Network: config.Network{
			Interfaces: map[string]config.Interface{
				"eth0": {Addresses: []string{"192.168.1.7/24", "fd00::7/64"}, Gateway: "192.168.1.1"},
				"eth1": {DHCP: &yes},
			},
			DNS: []string{"192.168.1.1", "2606:4700::1111"},
		},
		Time:      config.Time{Servers: []string{"pool.ntp.org", "10.0.0.1"}},
		Console:   config.Console{Password: bcryptHash},
		SSH:       config.SSH{AuthorizedKeys: []string{ed25519Key}, Port: 2222},
		Resources: config.Resources{Target: 0.5},
		Services: []config.Service{{
			Name: "hello", Package: "github.com/gokrazy/hello/v2", Version: "v0.1.0",
			Args: []string{"-v"}, Env: []string{"A=b=c"}, WaitForClock: true,
		}},
		Workloads: []config.Workload{
			{
				Name: "web", Image: "nginx", Ports: []string{"80:80", "127.0.0.1:53:53/udp"},
				Volumes: []string{"www:/usr/share/nginx/html:ro"}, Restart: "on-failure:3",
				Memory: "64m", CPUs: 0.5, PIDs: 100, Entrypoint: []string{},
			},
			{Name: "off", Image: "busybox", Restart: "no"},
		},
		Images: []string{"nginx.tar"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	text, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.Parse("marshalled", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !reflect.DeepEqual(again, c) {
		t.Errorf("marshalled and parsed:\n%s\ngot  %+v\nwant %+v", text, again, c)
	}
}

func TestParseSaysNothing(t *testing.T) {
	for _, text := range []string{"", "\n", "# only a comment\n", "---\n", "network:\n", "network:\n  # dns: [1.1.1.1]\n", "\xef\xbb\xbf# BOM\r\n"} {
		c, err := config.Parse("f", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if !reflect.DeepEqual(c, new(config.Config)) {
			t.Errorf("%q: %+v", text, c)
		}
	}
}

func TestParseWindowsFile(t *testing.T) {
	c, err := config.Parse("f", []byte("\xef\xbb\xbfhostname: box\r\nssh:\r\n  port: 23\r\n"))
	if err != nil || c.Hostname != "box" || c.SSH.Port != 23 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		want string // begins so
	}{
		{"hostnme: box", `f.yaml:1:1: there is no key "hostnme" here; there are console, hostname,`},
		{"network:\n  dsn: [1.1.1.1]", `f.yaml:2:3: network: there is no key "dsn" here; there are dns, interfaces`},
		{"hostname: 5", `f.yaml:1:11: hostname: this is a number where there must be text: put it in quotes`},
		{"hostname: true", `f.yaml:1:11: hostname: this is true or false where there must be text`},
		{"hostname: [a]", `f.yaml:1:11: hostname: this is a list where there must be text`},
		{"hostname:\n  a: b", `f.yaml:2:3: hostname: this is keys with values where there must be text`},
		{"network: 5", `f.yaml:1:10: network: this is a number where there must be keys with values`},
		{"network:\n- dns: [1.1.1.1]", `f.yaml:2:1: network: this is a list where there must be keys with values`},
		{"ssh:\n  port: \"22\"", `f.yaml:2:9: ssh.port: this is text where there must be a whole number`},
		{"ssh:\n  port: 2.5", `f.yaml:2:9: ssh.port: this is a number where there must be a whole number`},
		{"ssh:\n  port: 0", `f.yaml:2:9: ssh.port: 0 is no port`},
		{"ssh:\n  port: 99999999999999999999", `f.yaml:2:9: ssh.port: this is `},
		{"resources:\n  target: .inf", `f.yaml:2:11: resources.target: this is a number where`},
		{"resources:\n  target: 1.5", `f.yaml:2:11: resources.target: 1.5 is no fraction`},
		{"resources:\n  target: 0", `f.yaml:2:11: resources.target: 0 is no fraction`},
		{"network:\n  dns: 1.1.1.1", `f.yaml:2:8: network.dns: this is text where there must be a list`},
		{"network:\n  dns: [one]", `f.yaml:2:9: network.dns[0]: "one" is no IP address`},
		{"network:\n  dns:\n    - 1.1.1.1\n    -\n", `f.yaml:3:5: network.dns[1]: there is nothing after`},
		{"hostname: a.b", `f.yaml:1:11: hostname: "a.b" is no host name`},
		{"hostname: -a", `f.yaml:1:11: hostname: "-a" is no host name`},
		{"hostname: a\nhostname: b", `f.yaml:2:1: mapping key "hostname" already defined`},
		{"hostname: a\n---\nhostname: b", `f.yaml:3:9: a second document begins here`},
		{"hostname:\n\ta", `f.yaml:2:1: `},
		{"a: &a [1]\nb: *a", `f.yaml:1:4: anchors and aliases are not known here`},
		{"hostname: !!binary aGFsbG8=", `f.yaml:1:11: tags are not known here`},
		{"%YAML 1.1\n---\nhostname: a", `f.yaml:1:1: directives are not known here`},
		{"5: a", `f.yaml:1:1: a key is a plain word`},
		{"? [a]\n: b", `f.yaml:2:1: found an invalid key`},
		{"hostname: \x00", `f.yaml:1:11: this is no UTF-8 text`},
		{"hostname: \xff", `f.yaml:1:11: this is no UTF-8 text`},
		{"\xff\xfeh\x00", `f.yaml:1:1: this is no UTF-8 text`},
		{"network: {interfaces: {eth0: {addresses: [10.0.0.0/8]}}}", `f.yaml:1:43: network.interfaces.eth0.addresses[0]: "10.0.0.0/8" is the network itself`},
		{"network: {interfaces: {eth0: {addresses: [10.0.0.1]}}}", `f.yaml:1:43: network.interfaces.eth0.addresses[0]: "10.0.0.1" is no address with the length`},
		{"network: {interfaces: {eth0: {addresses: [10.255.255.255/8]}}}", `f.yaml:1:43: network.interfaces.eth0.addresses[0]: "10.255.255.255/8" is the network's broadcast`},
		{"network: {interfaces: {eth0: {addresses: [10.0.0.1/8], dhcp: true}}}", `f.yaml:1:62: network.interfaces.eth0.dhcp: DHCP and addresses exclude each other`},
		{"network: {interfaces: {eth0: {addresses: [10.0.0.1/24], gateway: 10.0.1.1}}}", `f.yaml:1:66: network.interfaces.eth0.gateway: 10.0.1.1 is in the network of none`},
		{"network: {interfaces: {eth0: {gateway: ten}}}", `f.yaml:1:40: network.interfaces.eth0.gateway: "ten" is no IP address`},
		{"network: {interfaces: {eth0: {dhcp: true, gateway: 10.0.1.1}}}", `f.yaml:1:52: network.interfaces.eth0.gateway: with DHCP the gateway comes from there`},
		{"network: {interfaces: {eth0.5: {dhcp: true}}}", `f.yaml:1:24: network.interfaces.eth0.5: "eth0.5" is no name of an interface`},
		{"time: {servers: [a b]}", `f.yaml:1:18: time.servers[0]: "a b" is neither`},
		{"console: {password: secret}", `f.yaml:1:21: console.password: this is no bcrypt hash`},
		{"ssh: {authorized_keys: [ssh-ed25519 AAAA]}", `f.yaml:1:25: ssh.authorized_keys[0]: the SSH key is damaged`},
		{"ssh: {authorized_keys: ['command=\"a\" " + ed25519Key + "']}", `f.yaml:1:25: ssh.authorized_keys[0]: options before an SSH key`},
		{"ssh: {authorized_keys: [ssh-dss AAAA]}", `f.yaml:1:25: ssh.authorized_keys[0]: "ssh-dss" is no type of SSH key`},
		{"services:\n  - args: [a]", `f.yaml:2:5: services[0].package: "" is no import path`},
		{"services:\n  - package: a.b/c\n    name: ../d", `f.yaml:3:11: services[0].name: "../d" is no name`},
		{"services:\n  - package: a.b/c\n  - package: a.b/x/c", `f.yaml:3:5: services[1].name: two services have the name "c"`},
		{"workloads:\n  - name: web", `f.yaml:2:5: workloads[0].image: no image is named`},
		{"workloads:\n  - {name: web, image: a, ports: [80]}", `f.yaml:2:35: workloads[0].ports[0]: this is a number where there must be text`},
		{"workloads:\n  - {name: web, image: a, ports: ['80']}", `f.yaml:2:35: workloads[0].ports[0]: name the box's port too`},
		{"workloads:\n  - {name: web, image: a, ports: ['1-65535:1-65535']}", `f.yaml:2:35: workloads[0].ports[0]: "1-65535:1-65535" are more than`},
		{"workloads:\n  - {name: web, image: a, restart: sometimes}", `f.yaml:2:36: workloads[0].restart: "sometimes" is none of`},
		{"workloads:\n  - {name: web, image: a}\n  - {name: web, image: b}", `f.yaml:3:12: workloads[1].name: two workloads have the name "web"`},
		{strings.Repeat("[", 100), `f.yaml:1:17: the file is nested too deeply`},
		{strings.Repeat("- ", 100), `f.yaml:1:129: the file is nested too deeply`},
		{strings.Repeat("a", config.MaxSize+1), `f.yaml: the file has 65537 bytes`},
	} {
		_, err := config.Parse("f.yaml", []byte(c.text))
		var e *config.Error
		switch {
		case err == nil:
			t.Errorf("%q: no error", c.text)
		case !strings.HasPrefix(err.Error(), c.want):
			t.Errorf("%q:\ngot  %v\nwant %s", c.text, err, c.want)
		case !errors.As(err, &e):
			t.Errorf("%q: %T", c.text, err)
		}
	}
}

func TestErrorShowsTheLine(t *testing.T) {
	_, err := config.Parse("f.yaml", []byte("hostname: box\nsssh:\n  port: 22\n"))
	want := "f.yaml:2:1: there is no key \"sssh\" here; there are console, hostname, images, labels, network, resources, services, ssh, time, workloads\n" +
		"  2 | sssh:\n" +
		"    | ^"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestMerge(t *testing.T) {
	builtIn := `
hostname: factory
network:
  interfaces:
    eth0: {addresses: [10.0.0.2/24], gateway: 10.0.0.1}
    eth1: {dhcp: true}
  dns: [10.0.0.1]
workloads:
  - {name: a, image: a}
  - {name: b, image: b}
`
	own := `
hostname: mine
network:
  interfaces:
    eth0: {addresses: [10.0.0.3/24]}
workloads: []
`
	c, err := config.Merge([]byte(builtIn), []byte(own))
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	want := &config.Config{
		Hostname: "mine",
		Network: config.Network{
			Interfaces: map[string]config.Interface{
				"eth0": {Addresses: []string{"10.0.0.3/24"}, Gateway: "10.0.0.1"},
				"eth1": {DHCP: &yes},
			},
			DNS: []string{"10.0.0.1"},
		},
		SSH: config.SSH{Port: 22}, Resources: config.Resources{Target: 0.2},
		Workloads: []config.Workload{},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestMergeOfNothingIsTheDefault(t *testing.T) {
	c, err := config.Merge(nil, nil)
	if err != nil || !reflect.DeepEqual(c, config.Default()) {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestMergeSaysWhichFile(t *testing.T) {
	for _, c := range []struct{ builtIn, own, want string }{
		{"hostname: 5", "", "built-in appliance.yaml:1:11: "},
		{"hostname: a", "hostname: 5", "appliance.yaml:1:11: "},
		// Each alone is fine.
		{"", "network: {interfaces: {eth0: {gateway: 10.0.0.1}}}", "appliance.yaml:1:40: network.interfaces.eth0.gateway: with DHCP"},
		{"network: {interfaces: {eth0: {addresses: [10.0.0.3/24]}}}", "network: {interfaces: {eth0: {gateway: 10.0.1.1}}}", "appliance.yaml:1:40: network.interfaces.eth0.gateway: 10.0.1.1 is in"},
		// A built-in file is the lowest.
		{"network: {interfaces: {eth0: {gateway: 10.0.0.1}}}", "", "built-in appliance.yaml:1:40: network.interfaces.eth0.gateway: with DHCP"},
	} {
		if _, err := config.Merge([]byte(c.builtIn), []byte(c.own)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v\nwant %s", err, c.want)
		}
	}
}

// TestMergeOfInterfaces: how an interface has its address is one key's to say,
// whatever the other file had.
func TestMergeOfInterfaces(t *testing.T) {
	yes, no := true, false
	const static = "{addresses: [10.0.0.2/24], gateway: 10.0.0.1}"
	for _, c := range []struct {
		builtIn, own string
		want         config.Interface
	}{
		{static, "{dhcp: true}", config.Interface{DHCP: &yes}},
		{"{dhcp: false, addresses: [10.0.0.2/24]}", "{dhcp: true}", config.Interface{DHCP: &yes}},
		{static, "{addresses: []}", config.Interface{Addresses: []string{}}},
		{"{dhcp: true}", static, config.Interface{Addresses: []string{"10.0.0.2/24"}, Gateway: "10.0.0.1"}},
		{static, "{gateway: 10.0.0.9}", config.Interface{Addresses: []string{"10.0.0.2/24"}, Gateway: "10.0.0.9"}},
		{"{addresses: [10.0.0.2/24]}", "{dhcp: false, gateway: 10.0.0.9}", config.Interface{DHCP: &no, Addresses: []string{"10.0.0.2/24"}, Gateway: "10.0.0.9"}},
		{static, "{dhcp: }", config.Interface{Addresses: []string{"10.0.0.2/24"}, Gateway: "10.0.0.1"}},
	} {
		file := func(eth0 string) []byte { return []byte("network: {interfaces: {eth0: " + eth0 + "}}") }
		if _, err := config.Parse("own", file(c.own)); err != nil {
			t.Errorf("%s alone: %v", c.own, err)
		}
		merged, err := config.Merge(file(c.builtIn), file(c.own))
		if err != nil {
			t.Errorf("%s over %s: %v", c.own, c.builtIn, err)
			continue
		}
		if got := merged.Network.Interfaces["eth0"]; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s over %s is %+v, want %+v", c.own, c.builtIn, got, c.want)
		}
	}
}

func TestReservedServices(t *testing.T) {
	for _, name := range []string{"health", "admin", "ledgerd", "ntp", "settings", "outbox", "runtime", "remote", "trial", "workloads", "network", "init", "console-x", "dhcp-eth7", "power-button-1"} {
		for _, text := range []string{"{package: a.b/c, name: " + name + "}", "{package: a.b/" + name + "/v2}"} {
			_, err := config.Parse("f", []byte("services: ["+text+"]"))
			if err == nil || !strings.Contains(err.Error(), "is a service of the box itself") {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
	if _, err := config.Parse("f", []byte("services: [{package: a.b/healthy}, {package: a.b/c, name: my-health}, {package: a.b/console}]")); err != nil {
		t.Error(err)
	}
}

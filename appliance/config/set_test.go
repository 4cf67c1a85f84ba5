package config_test

import (
	"strings"
	"testing"

	"github.com/entroos/entroos/appliance/config"
)

const commented = `# The cupboard's box.
hostname: box # in the hall

# Who is where.
network:
  # The switch is old.
  interfaces:
    eth0:
      dhcp: true
  dns:
  - 10.0.0.1
  - 10.0.0.2

# Keys.
ssh:
  authorized_keys: [
    "` + ed25519Key + `"
  ]
# The end.
`

func TestSet(t *testing.T) {
	for _, c := range []struct{ name, text, key, value, old, new string }{
		{"replace a scalar", commented, "hostname", "cupboard", "hostname: box # in the hall", "hostname: cupboard"},
		{"replace a list", commented, "network.dns", "[1.1.1.1]", "  dns:\n  - 10.0.0.1\n  - 10.0.0.2", "  dns: [1.1.1.1]"},
		{"replace keys", commented, "network.interfaces.eth0", "addresses: [10.0.0.3/24]\ngateway: 10.0.0.1", "    eth0:\n      dhcp: true", "    eth0:\n      addresses: [10.0.0.3/24]\n      gateway: 10.0.0.1"},
		{"add beside", commented, "network.interfaces.eth1.dhcp", "true", "      dhcp: true\n", "      dhcp: true\n    eth1:\n      dhcp: true\n"},
		{"add a scalar", commented, "ssh.port", "2222", "\"\n  ]\n", "\"\n  ]\n  port: 2222\n"},
		{"add at the end", commented, "resources.target", "0.5", "# The end.\n", "# The end.\nresources:\n  target: 0.5\n"},
		{"take away", commented, "network.dns", "", "  dns:\n  - 10.0.0.1\n  - 10.0.0.2\n", ""},
		{"take many away", commented, "network", "", commented[strings.Index(commented, "network:"):strings.Index(commented, "\n# Keys")], ""},
		{"take away what is not there", commented, "time.servers", "", "", ""},
		{"into nothing", "", "network.dns", "- 1.1.1.1", "", "network:\n  dns:\n    - 1.1.1.1\n"},
		{"into comments", "# nothing\n", "hostname", "box", "# nothing\n", "# nothing\nhostname: box\n"},
		{"below null", "network:\nhostname: box\n", "network.dns", "[1.1.1.1]", "network:\n", "network:\n  dns: [1.1.1.1]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := config.Set("f.yaml", []byte(c.text), c.key, c.value)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(c.text, c.old, c.new, 1)
			if string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestSetErrors(t *testing.T) {
	for _, c := range []struct{ text, key, value, want string }{
		{"", "hostnme", "x", `there is no key "hostnme"; there are console, hostname`},
		{"", "network.interfaces.a b", "x", `network.interfaces: "a b" is no name of an interface`},
		{"", "network.dns.0", "x", "network.dns is a list, which is set as a whole"},
		{"", "hostname.x", "x", "hostname has no keys below it"},
		{"", "hostname", "[", "value:1:1: "},
		{"", "hostname", "a\n---\nb", "value:3:1: "},
		{"", "hostname", "# x", `"# x" says nothing`},
		{"", "hostname", "~", `"~" says nothing`},
		{"network: {dns: [1.1.1.1]}", "network.dns", "[]", "the file writes network in braces"},
		{"- a", "hostname", "x", "f.yaml:1:1: there must be keys with values here"},
		{"hostname: 'a", "hostname", "x", "f.yaml:1:11: "},
	} {
		_, err := config.Set("f.yaml", []byte(c.text), c.key, c.value)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q, %s=%q:\ngot  %v\nwant %s", c.text, c.key, c.value, err, c.want)
		}
	}
}

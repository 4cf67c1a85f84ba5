package appliance

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/entroos/entroos/appliance/config"
)

// TestOwnServicesAreReserved: the settings cannot name a service as the box
// names one of its own, anywhere in its source.
func TestOwnServicesAreReserved(t *testing.T) {
	var (
		service  = regexp.MustCompile(`ServiceSpec\{\s*Name:\s*("?)([\w-]+)("?)([.(]?)`)
		constant = regexp.MustCompile(`const (\w+) = "([\w-]+)"`)
		names    []string
		values   = make(map[string]string)
	)
	own, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	program, err := filepath.Glob("../init/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(own, program...) {
		if ok, err := filepath.Match("*_test.go", filepath.Base(file)); ok || err != nil {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range constant.FindAllStringSubmatch(string(text), -1) {
			values[m[1]] = m[2]
		}
		for _, m := range service.FindAllStringSubmatch(string(text), -1) {
			if m[4] == "" { // neither a field nor a call
				names = append(names, m[1]+m[2])
			}
		}
	}
	if len(names) < 15 {
		t.Errorf("only %d services found: %q", len(names), names)
	}
	for _, name := range append(names, "initService", `"`+dhcpService("eth0")) {
		if name[0] == '"' {
			name = name[1:]
		} else if value := values[name]; value != "" {
			name = value
		} else {
			t.Errorf("%s is no constant", name)
		}
		_, err := config.Parse("f", []byte("services: [{package: a.b/c, name: "+name+"}]"))
		if err == nil {
			t.Errorf("a service of the settings may be named %s", name)
		}
	}
}

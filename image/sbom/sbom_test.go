package sbom

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/entroos/entroos/image/debian"
)

// goList is what go says.
func goList(t *testing.T, args ...string) string {
	t.Helper()
	output, err := exec.Command("go", args...).Output()
	if err != nil {
		t.Fatalf("go %v: %v", args, err)
	}
	return strings.TrimSpace(string(output))
}

// newContents is a list of one program, twice, and some packages.
func newContents(t *testing.T) Contents {
	t.Helper()
	self := filepath.Join(t.TempDir(), "program")
	goList(t, "build", "-trimpath", "-buildvcs=false", "-o", self, "../../init/stage0")
	return Contents{
		Version: "1.2.3", Time: time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC),
		Output:   File{Name: "entroos-1.2.3.efi", Path: self},
		Programs: []File{{Name: "/bin/one", Path: self}, {Name: "/bin/two", Path: self}},
		Modules:  goList(t, "env", "GOMODCACHE"), Licence: "../../LICENSE",
		Inputs: []Input{
			{Role: "kernel", Kind: cdx.ComponentTypeOS, Licence: "GPL-2.0-only WITH Linux-syscall-note", Path: "sbom.go", Package: debian.Package{
				Name: "linux-source-6.12", Version: "6.12.117-1~deb12u1", Architecture: "all", Source: "linux-6.12", SourceVersion: "6.12.117-1~deb12u1",
			}},
			{Role: "microcode", Kind: cdx.ComponentTypeFirmware, Licence: "LicenseRef-Intel's", Package: debian.Package{
				Name: "intel-microcode", Version: "3:4+5", Architecture: "amd64", Source: "intel-microcode", SourceVersion: "3:4+5",
				SHA256: strings.Repeat("ab", 32),
			}},
			{Role: "unknown", Kind: cdx.ComponentTypeFile, Package: debian.Package{Name: "something"}},
		},
		Tools: []debian.Package{{Name: "gcc", Version: "1", Architecture: "amd64", Source: "gcc", SourceVersion: "1"}},
	}
}

func write(t *testing.T, contents Contents) []byte {
	t.Helper()
	var text bytes.Buffer
	if err := Write(&text, contents); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// The list is what CycloneDX's own schema allows.
func TestSchema(t *testing.T) {
	folder := filepath.Join(goList(t, "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"), "schema")
	compiler := jsonschema.NewCompiler()
	for name, at := range map[string]string{
		"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json",
		"jsf-0.82.schema.json": "jsf-0.82.schemax.json", // so it is spelt there
	} {
		file, err := os.Open(filepath.Join(folder, at))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		schema, err := jsonschema.UnmarshalJSON(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name, schema); err != nil {
			t.Fatal(err)
		}
	}
	compiler.AssertFormat()
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	text := write(t, newContents(t))
	list, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(list); err != nil {
		t.Error(err)
	}
	// The schema does refuse something.
	list.(map[string]any)["serialNumber"] = "1"
	if schema.Validate(list) == nil {
		t.Error("a wrong serial number is valid")
	}
}

func TestContents(t *testing.T) {
	text := write(t, newContents(t))
	if !bytes.Equal(text, write(t, newContents(t))) {
		t.Error("two lists of the same contents differ")
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.Metadata.Timestamp != "2026-01-01T00:00:00Z" {
		t.Errorf("its time is %s", bom.Metadata.Timestamp)
	}
	refs := map[string]cdx.Component{bom.Metadata.Component.BOMRef: *bom.Metadata.Component}
	for _, c := range *bom.Components {
		if _, twice := refs[c.BOMRef]; twice {
			t.Errorf("%s is there twice", c.BOMRef)
		}
		refs[c.BOMRef] = c
	}
	needs := map[string][]string{}
	for _, d := range *bom.Dependencies {
		needs[d.Ref] = *d.Dependencies
		for _, on := range *d.Dependencies {
			if _, found := refs[on]; !found {
				t.Errorf("%s needs %s, which is not there", d.Ref, on)
			}
		}
	}
	if got := strings.Join(needs["entroos"], "\n"); !strings.Contains(got, "program:/bin/one\nprogram:/bin/two") || !strings.Contains(got, "linux-source-6.12") {
		t.Errorf("the image needs\n%s", got)
	}
	// stage0 is made of u-root.
	library := goList(t, "list", "-m", "-f", "pkg:golang/{{.Path}}@{{.Version}}", "github.com/u-root/u-root")
	if got := strings.Join(needs["program:/bin/one"], "\n"); !strings.Contains(got, library) || !strings.Contains(got, "pkg:golang/std@") {
		t.Errorf("the program needs\n%s", got)
	}
	if c := refs[library]; c.Licenses == nil || (*c.Licenses)[0].License.ID != "BSD-3-Clause" {
		t.Errorf("the library's licences are %+v", c.Licenses)
	}
	if c, found := refs["pkg:deb/debian/intel-microcode@3%3A4%2B5?arch=amd64"]; !found || (*c.Licenses)[0].License.Name != "Intel's" ||
		(*c.Hashes)[0].Value != strings.Repeat("ab", 32) {
		t.Errorf("microcode: %+v", c)
	}
	if bytes.Contains(text, []byte(t.TempDir())) || regexp.MustCompile(`"/(root|home|tmp|work)/`).Match(text) {
		t.Error("it names folders of the build machine")
	}
	changed := newContents(t)
	changed.Output.Path = "sbom.go"
	var other struct{ SerialNumber string }
	if err := json.Unmarshal(write(t, changed), &other); err != nil || other.SerialNumber == bom.SerialNumber {
		t.Errorf("another image has the same serial number %s (%v)", other.SerialNumber, err)
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, change := range map[string]func(*Contents){
		"no image":     func(c *Contents) { c.Output.Path = "absent" },
		"no program":   func(c *Contents) { c.Programs[0].Path = "absent" },
		"no Go":        func(c *Contents) { c.Programs[0].Path = "sbom.go" },
		"no such file": func(c *Contents) { c.Inputs[0].Path = "absent" },
	} {
		contents := newContents(t)
		change(&contents)
		var text bytes.Buffer
		if err := Write(&text, contents); err == nil || text.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, text.Len())
		}
	}
}

// Licences of modules that this one needs, as their authors wrote them.
func TestIdentify(t *testing.T) {
	for module, want := range map[string]string{
		"go.etcd.io/bbolt": "MIT", "golang.org/x/sys": "BSD-3-Clause", "github.com/spf13/cobra": "Apache-2.0",
		"github.com/gokrazy/gokrazy": "BSD-3-Clause", "pgregory.net/rapid": "MPL-2.0",
	} {
		folder := goList(t, "list", "-m", "-f", "{{.Dir}}", module)
		found, err := filepath.Glob(filepath.Join(folder, "LICENSE*"))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v %v", module, found, err)
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := identify(string(text)); got != want {
			t.Errorf("%s: %q, want %q", module, got, want)
		}
	}
	if got := identify("All rights reserved."); got != "" {
		t.Errorf("got %q", got)
	}
}

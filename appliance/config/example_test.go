package config_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/entroos/entroos/appliance/config"
)

func TestExampleIsTheDefault(t *testing.T) {
	c, err := config.Merge([]byte(config.Example), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, config.Default()) {
		t.Errorf("the example says %+v, the defaults are %+v", c, config.Default())
	}
}

// uncommented is the example with all that it tells of in force: "#key", but
// not "# text".
func uncommented() string {
	return regexp.MustCompile(`(?m)^( *)#([^ #\n])`).ReplaceAllString(config.Example, "$1$2")
}

func TestExampleTellsOfEachKey(t *testing.T) {
	c, err := config.Parse("example", []byte(uncommented()))
	if err != nil {
		t.Fatal(err)
	}
	// Merged, so that no value of one element hides a missing one of another.
	for _, path := range unset(reflect.ValueOf(*c), "") {
		t.Errorf("the example does not tell of %s", path)
	}
}

// unset gives the paths of the fields that are zero, in lists and maps those
// that are zero in all elements.
func unset(v reflect.Value, path string) (zero []string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			zero = append(zero, unset(v.Field(i), path+"."+name)...)
		}
		return zero
	case reflect.Slice, reflect.Map:
		if v.Type().Elem().Kind() != reflect.Struct || v.Len() == 0 {
			break
		}
		var elements []reflect.Value
		if v.Kind() == reflect.Map {
			for _, key := range v.MapKeys() {
				elements = append(elements, v.MapIndex(key))
			}
		} else {
			for i := range v.Len() {
				elements = append(elements, v.Index(i))
			}
		}
		zero = unset(elements[0], path+"[]")
		for _, e := range elements[1:] {
			other := unset(e, path+"[]")
			zero = slices.DeleteFunc(zero, func(p string) bool { return !slices.Contains(other, p) })
		}
		return zero
	}
	if v.IsZero() {
		return []string{path}
	}
	return nil
}

// schema is the part of JSON Schema that ours uses.
type schema struct {
	Type                 any                `json:"type"`
	Description          string             `json:"description"`
	Properties           map[string]*schema `json:"properties"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"`
	Items                *schema            `json:"items"`
	Pattern              string             `json:"pattern"`
	Default              any                `json:"default"`
}

func (s *schema) is(kind string) bool {
	if list, ok := s.Type.([]any); ok {
		return slices.Contains(list, any(kind)) && slices.Contains(list, any("null")) && len(list) == 2
	}
	return s.Type == kind
}

func TestSchemaHasTheTypes(t *testing.T) {
	root := new(schema)
	decoder := json.NewDecoder(strings.NewReader(config.Schema))
	if err := decoder.Decode(root); err != nil {
		t.Fatal(err)
	}
	compare(t, root, reflect.TypeFor[config.Config](), "")
	defaults := config.Default()
	for path, want := range map[string]any{
		"hostname": defaults.Hostname, "ssh.port": float64(defaults.SSH.Port), "resources.target": defaults.Resources.Target,
	} {
		at := root
		for _, key := range strings.Split(path, ".") {
			at = at.Properties[key]
		}
		if at.Default != want {
			t.Errorf("the schema's default of %s is %v, ours %v", path, at.Default, want)
		}
	}
}

// compare holds a schema against the type that it describes.
func compare(t *testing.T, s *schema, goType reflect.Type, path string) {
	if s.Description == "" && s.Properties != nil {
		t.Errorf("%s: no description", path)
	}
	if _, err := regexp.Compile(s.Pattern); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	kinds := map[reflect.Kind]string{
		reflect.Struct: "object", reflect.Map: "object", reflect.Slice: "array", reflect.String: "string",
		reflect.Bool: "boolean", reflect.Int: "integer", reflect.Float64: "number",
	}
	if goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	if want := kinds[goType.Kind()]; !s.is(want) {
		t.Errorf("%s: the schema's type is %v, ours %s", path, s.Type, want)
		return
	}
	switch goType.Kind() {
	case reflect.Slice:
		if s.Items == nil {
			t.Errorf("%s: no type of its elements", path)
			return
		}
		compare(t, s.Items, goType.Elem(), path+"[]")
	case reflect.Map:
		below := new(schema)
		if err := json.Unmarshal(s.AdditionalProperties, below); err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		compare(t, below, goType.Elem(), path+".*")
	case reflect.Struct:
		if string(s.AdditionalProperties) != "false" {
			t.Errorf("%s: unknown keys are allowed", path)
		}
		known := make(map[string]bool)
		for i := range goType.NumField() {
			key, _, _ := strings.Cut(goType.Field(i).Tag.Get("yaml"), ",")
			known[key] = true
			if s.Properties[key] == nil {
				t.Errorf("the schema does not have %s.%s", path, key)
				continue
			}
			compare(t, s.Properties[key], goType.Field(i).Type, fmt.Sprintf("%s.%s", path, key))
		}
		for key := range s.Properties {
			if !known[key] {
				t.Errorf("the schema has %s.%s, which there is not", path, key)
			}
		}
	}
}

func TestKeysCanBeSet(t *testing.T) {
	for _, key := range config.Keys() {
		if _, err := config.Set("f", nil, key, "[]"); err != nil && !strings.Contains(err.Error(), "there must be") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestSetInTheExample changes the file that people begin with.
func TestSetInTheExample(t *testing.T) {
	text := []byte(config.Example)
	for _, set := range [][2]string{
		{"hostname", "cupboard"},
		{"network.interfaces.eth0", "{addresses: [10.0.0.7/24], gateway: 10.0.0.1}"},
		{"network.dns", "[10.0.0.1]"},
		{"ssh.authorized_keys", "['" + ed25519Key + "']"},
		{"workloads", "- name: web\n  image: nginx\n"},
		{"resources.target", ""},
	} {
		var err error
		if text, err = config.Set("f", text, set[0], set[1]); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Parse("f", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want := &config.Config{
		Hostname: "cupboard",
		Network: config.Network{
			Interfaces: map[string]config.Interface{"eth0": {Addresses: []string{"10.0.0.7/24"}, Gateway: "10.0.0.1"}},
			DNS:        []string{"10.0.0.1"},
		},
		SSH:       config.SSH{AuthorizedKeys: []string{ed25519Key}, Port: 22},
		Workloads: []config.Workload{{Name: "web", Image: "nginx"}},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	for line := range strings.Lines(config.Example) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") && !strings.Contains(string(text), line) {
			t.Errorf("the comment %q is gone", line)
		}
	}
}

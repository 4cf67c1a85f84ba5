package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/appliance/config"
)

// FuzzParse: whatever is read is refused or understood, and what is understood
// is written so that it is understood the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(commented))
	for _, s := range []string{
		"", "hostname: |\n  a\n  b\n", "network: {interfaces: {eth0: {dhcp: no}}}", "a: &a [*a]", "? a\n: b", "--- >\n x\n...\n",
		"workloads:\n- {name: a, image: b, args: ['', \"\\x01\\n\", ' a ', '-', '#', 'null', '1e3', '0x1', 'yes', '<<', ': ', '%']}",
		"services:\n- package: a/v2\n  args:\n  - |+\n    x\n\n  - >-\n    y\n", "\xef\xbb\xbf{}\r\n", "hostname: !!str 1", "[[[[[", "- - - -",
		"workloads:\n- name: a\n  image: b\n  env: [\"A=\u0085\u2028\ufeff\"]\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Parse("f", text)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		out, err := c.Marshal()
		if err != nil {
			t.Fatalf("%q is understood as %+v and cannot be written: %v", text, c, err)
		}
		again, err := config.Parse("again", out)
		if err != nil {
			t.Fatalf("%q is written as\n%s\nand then refused: %v", text, out, err)
		}
		if !reflect.DeepEqual(again, c) {
			t.Fatalf("%q is understood as\n%+v\nwritten as\n%s\nand then understood as\n%+v", text, c, out, again)
		}
		if _, err := config.ParseBuiltIn("f", text); err != nil {
			return
		}
		if _, err := config.Merge(text, text); err != nil {
			t.Fatalf("%q cannot be laid over itself: %v", text, err)
		}
	})
}

// FuzzSet: a key that was set has its value, and one that was taken away is
// gone, in any file.
func FuzzSet(f *testing.F) {
	for _, text := range []string{full, commented, "", "network:\n", "{hostname: a}", "network:\n  dns: # x\n    - 1.1.1.1 # y\n# z\nhostname: a\n"} {
		for _, key := range []string{"hostname", "network.dns", "network.interfaces.eth0.dhcp", "ssh"} {
			for _, value := range []string{"", "box", "[1.1.1.1]", "- 1.1.1.1", "port: 5"} {
				f.Add([]byte(text), key, value)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, key, value string) {
		out, err := config.Set("f", text, key, value)
		if err != nil {
			return
		}
		if _, err := config.Parse("f", text); err != nil {
			return // it may have been wrong before
		}
		again, err := config.Set("f", out, key, value)
		if err != nil {
			if strings.Contains(err.Error(), "in braces") {
				return // so was the value
			}
			t.Fatalf("%s: %q makes %q of %q, and then: %v", key, value, out, text, err)
		}
		if string(again) != string(out) {
			t.Fatalf("%s: %q makes %q of %q, and then %q", key, value, out, text, again)
		}
	})
}

// TestHostileFilesAreRefusedSoon: nothing that fits the size takes long.
func TestHostileFilesAreRefusedSoon(t *testing.T) {
	laughs := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		laughs += strings.ReplaceAll("C: &C [*P,*P,*P,*P,*P,*P,*P,*P,*P]\n", "C", string(c))
		laughs = strings.ReplaceAll(laughs, "*P", "*"+string(c-1))
	}
	fill := func(s string) string { return strings.Repeat(s, config.MaxSize/len(s)) }
	deep := ""
	for i := 0; len(deep)+i+3 < config.MaxSize; i++ {
		deep += strings.Repeat(" ", i) + "a:\n"
	}
	for name, text := range map[string]string{
		"billion laughs": laughs, "brackets": fill("["), "braces": fill("{"), "dashes": fill("- "), "questions": fill("? "),
		"colons": fill(": "), "deep": deep, "quotes": "a: \"" + fill("\\")[:1000], "pairs": fill("{a: "), "anchors": fill("&a "), "tags": fill("!!a "),
		"entries": fill("- a\n"), "keys": fill("a:\n"), "comments": fill("# a\n"), "newlines": fill("\n"), "text": "hostname: " + fill("a ")[:60000],
		"lines": "hostname: |\n" + fill("  a\n")[:60000], "folded": "hostname: \"" + fill("a\n")[:60000] + "\"", "documents": fill("---\n"),
		"ports": "workloads:\n" + fill("- {name: a, image: b, ports: ['1-1000:1-1000']}\n")[:60000], "tabs": fill("\t"), "spaces": fill(" "),
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			_, err := config.Parse("f", []byte(text))
			if took := time.Since(started); took > 10*time.Second {
				t.Errorf("took %v", took)
			} else {
				t.Logf("%v: %.100v", took, err)
			}
			nothing := name == "comments" || name == "newlines" || name == "documents" || name == "spaces" || name == "tabs"
			if (err == nil) != nothing {
				t.Errorf("%v", err)
			}
		})
	}
}

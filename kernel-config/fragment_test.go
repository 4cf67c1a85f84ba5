package kernelconfig

import (
	"errors"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const sample = `# What this sample is about,
# on two lines.

# Why these two.
CONFIG_ONE=y
CONFIG_NUMBER=64
# Why not this.
# CONFIG_OFF is not set

# Why a string.
CONFIG_TEXT="a,b"
`

func parse(t *testing.T, text string) Fragment {
	t.Helper()
	fragment, err := Parse("sample", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return fragment
}

func TestParse(t *testing.T) {
	fragment := parse(t, sample)
	if want := "What this sample is about, on two lines."; fragment.About != want {
		t.Errorf("About is %q, want %q", fragment.About, want)
	}
	if len(fragment.Groups) != 3 {
		t.Fatalf("%d groups, want 3: %+v", len(fragment.Groups), fragment.Groups)
	}
	if got := fragment.Groups[1]; got.Why != "Why not this." || got.Options[0] != (Option{Name: "CONFIG_OFF", Value: Off}) {
		t.Errorf("second group is %+v", got)
	}
	want := "CONFIG_ONE=y\nCONFIG_NUMBER=64\n# CONFIG_OFF is not set\nCONFIG_TEXT=\"a,b\"\n"
	if got := Text([]Fragment{fragment}); got != want {
		t.Errorf("Text is\n%s\nwant\n%s", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	const about = "# About.\n\n"
	for name, test := range map[string]struct{ text, want string }{
		"module":         {about + "# Why.\nCONFIG_A=m\n", `sample.config:4: "CONFIG_A=m" is no kernel option`},
		"trailing":       {about + "# Why.\nCONFIG_A=y # why\n", "sample.config:4"},
		"nonsense":       {about + "hello\n", "sample.config:3"},
		"twice":          {about + "# Why.\nCONFIG_A=y\nCONFIG_A=y\n", "sample.config:5: CONFIG_A is on line 4 already"},
		"no reason":      {about + "CONFIG_A=y\n", "sample.config:3: CONFIG_A needs a comment above it"},
		"reason apart":   {about + "# Why.\n\nCONFIG_A=y\n", "sample.config:4: the comment above has no option"},
		"reason at end":  {about + "# Why.\nCONFIG_A=y\n# More.\n", "the last comment has no option"},
		"no description": {"# Why.\nCONFIG_A=y\n", "its first paragraph must say what it is about"},
		"empty":          {"", "its first paragraph"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("sample", strings.NewReader(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

// Whatever a fragment asks for, a configuration that has all of it passes, and
// one that lacks any single option fails with that option's name.
func TestCheckNamesWhatIsMissing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Option {
			return Option{
				Name:  "CONFIG_" + rapid.StringMatching(`[A-Z][A-Z0-9_]{0,8}`).Draw(t, "name"),
				Value: rapid.SampledFrom([]string{"y", "64", `"text"`}).Draw(t, "value"),
			}
		}), 1, 10, func(o Option) string { return o.Name }).Draw(t, "options")
		fragments := []Fragment{{Name: "some", Groups: []Group{{Why: "w", Options: options}}}}
		if err := Check(fragments, strings.NewReader(Text(fragments))); err != nil {
			t.Fatal(err)
		}
		lost := rapid.IntRange(0, len(options)-1).Draw(t, "lost")
		var config strings.Builder
		config.WriteString("# Linux/x86\nCONFIG_CC_VERSION_TEXT=\"gcc (Debian 12.2.0) 12.2.0\"\n")
		absent := rapid.Bool().Draw(t, "absent")
		for i, option := range options {
			switch {
			case i != lost:
				config.WriteString(option.String() + "\n")
			case !absent:
				config.WriteString("# " + option.Name + " is not set\n")
			}
		}
		err := Check(fragments, strings.NewReader(config.String()))
		var dropped *DroppedError
		if !errors.As(err, &dropped) || len(dropped.Dropped) != 1 || dropped.Dropped[0].Want != options[lost] {
			t.Fatalf("error is %v, want one that names %s alone", err, options[lost].Name)
		}
		if !strings.Contains(err.Error(), options[lost].Name+" (some.config)") {
			t.Fatalf("error %q does not name %s", err, options[lost].Name)
		}
	})
}

func TestCheckOff(t *testing.T) {
	fragments := []Fragment{parse(t, "# About.\n\n# Why.\n# CONFIG_A is not set\n")}
	for config, ok := range map[string]bool{"": true, "# CONFIG_A is not set\n": true, "CONFIG_A=y\n": false} {
		if err := Check(fragments, strings.NewReader(config)); (err == nil) != ok {
			t.Errorf("configuration %q: error is %v", config, err)
		}
	}
}

// The options that the rest of EntroOS counts on; each was once found missing
// on a box only when something failed there.
func TestFragmentsHold(t *testing.T) {
	fragments, err := Fragments()
	if err != nil {
		t.Fatal(err)
	}
	text := "\n" + Text(fragments)
	for _, want := range []string{
		"# CONFIG_MODULES is not set", "CONFIG_MISC_FILESYSTEMS=y", "CONFIG_SQUASHFS_ZSTD=y", "CONFIG_EXT4_FS_SECURITY=y",
		"CONFIG_DMI_SYSFS=y", "CONFIG_EFIVAR_FS=y", "CONFIG_LPC_ICH=y", "CONFIG_I2C_I801=y", "CONFIG_VSOCKETS_LOOPBACK=y",
		"CONFIG_EFI_VARS_PSTORE=y", "CONFIG_SOFT_WATCHDOG=y", "CONFIG_I6300ESB_WDT=y", "CONFIG_VIRTIO_CONSOLE=y", "CONFIG_PSI=y",
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no fragment asks for %s", want)
		}
	}
}

func TestDocumentation(t *testing.T) {
	fragments, err := Fragments()
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile("../docs/kernel.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != Markdown(fragments) {
		t.Error("docs/kernel.md is not what the fragments say: write it anew with `entroos kernel docs > docs/kernel.md`")
	}
}

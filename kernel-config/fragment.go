// Package kernelconfig holds EntroOS's Linux kernel: its options in fragments by
// concern, and the build that turns them into one bzImage without modules.
//
// The fragments are in Kconfig's own syntax, so that Linux's
// scripts/kconfig/merge_config.sh reads them too. Beyond that syntax they keep
// two rules: the first paragraph of a file is a comment that says what the file
// is about, and each run of options stands under a comment that says why.
package kernelconfig

import (
	"bufio"
	"embed"
	"fmt"
	"io"
	"regexp"
	"strings"
)

//go:embed fragments/*.config
var fragmentFiles embed.FS

// concerns are the fragments in the order in which they are read and shown.
var concerns = []string{
	"base", "hardware", "storage", "network", "containers", "virtual-machines", "consoles", "security",
}

// Fragment is the options of one concern.
type Fragment struct {
	// Name is the concern: the file's name without .config.
	Name string
	// About says what the concern is: the file's first paragraph.
	About string
	// Groups are the options with their reasons, in the file's order.
	Groups []Group
}

// Group is a run of options that share a reason.
type Group struct {
	// Why is the comment above the options, as one line. Never empty.
	Why string
	// Options are never empty.
	Options []Option
}

// Option is one line of a kernel configuration.
type Option struct {
	// Name is the symbol with its CONFIG_ prefix.
	Name string
	// Value is the text after the equals sign (y, a number, a quoted string),
	// or Off.
	Value string
}

// Off is the value of an option that must not be set.
const Off = "n"

// String is the option as a line of a .config file, without the line's end.
func (o Option) String() string {
	if o.Value == Off {
		return "# " + o.Name + " is not set"
	}
	return o.Name + "=" + o.Value
}

var (
	setLine = regexp.MustCompile(`^(CONFIG_[A-Za-z0-9_]+)=(y|n|-?[0-9]+|0x[0-9a-fA-F]+|"[^"]*")$`)
	offLine = regexp.MustCompile(`^# (CONFIG_[A-Za-z0-9_]+) is not set$`)
)

// parseOption reads one line of a .config file. The second result is false for
// a line that is no option: a comment, an empty line, or nonsense.
func parseOption(line string) (Option, bool) {
	if m := setLine.FindStringSubmatch(line); m != nil {
		return Option{Name: m[1], Value: m[2]}, true
	}
	if m := offLine.FindStringSubmatch(line); m != nil {
		return Option{Name: m[1], Value: Off}, true
	}
	return Option{}, false
}

// Parse reads one fragment. An error names the line. An option twice in one
// fragment, and a value other than y, a number or a string, are errors: there
// are no modules, so m is none.
func Parse(name string, r io.Reader) (Fragment, error) {
	fragment := Fragment{Name: name}
	seen := map[string]int{}
	var comment []string
	var group Group
	flush := func() {
		if len(group.Options) > 0 {
			fragment.Groups = append(fragment.Groups, group)
		}
		group = Group{}
	}
	scanner := bufio.NewScanner(r)
	number := 0
	for scanner.Scan() {
		number++
		line := strings.TrimRight(scanner.Text(), " \t\r")
		if option, ok := parseOption(line); ok {
			if first := seen[option.Name]; first != 0 {
				return Fragment{}, fmt.Errorf("%s.config:%d: %s is on line %d already", name, number, option.Name, first)
			}
			seen[option.Name] = number
			if len(comment) > 0 {
				flush()
				group.Why = strings.Join(comment, " ")
				comment = nil
			}
			if group.Why == "" {
				return Fragment{}, fmt.Errorf("%s.config:%d: %s needs a comment above it that says why", name, number, option.Name)
			}
			group.Options = append(group.Options, option)
			continue
		}
		switch {
		case line == "":
			if len(comment) > 0 && fragment.About == "" && len(seen) == 0 {
				fragment.About = strings.Join(comment, " ")
				comment = nil
			}
			if len(comment) > 0 {
				return Fragment{}, fmt.Errorf("%s.config:%d: the comment above has no option", name, number)
			}
			flush()
		case strings.HasPrefix(line, "#"):
			comment = append(comment, strings.TrimSpace(strings.TrimPrefix(line, "#")))
		default:
			return Fragment{}, fmt.Errorf("%s.config:%d: %q is no kernel option (want CONFIG_NAME=y, a number or a string, or \"# CONFIG_NAME is not set\")", name, number, line)
		}
	}
	if err := scanner.Err(); err != nil {
		return Fragment{}, fmt.Errorf("reading %s.config: %w", name, err)
	}
	if len(comment) > 0 {
		return Fragment{}, fmt.Errorf("%s.config:%d: the last comment has no option", name, number)
	}
	flush()
	if fragment.About == "" {
		return Fragment{}, fmt.Errorf("%s.config: its first paragraph must say what it is about", name)
	}
	return fragment, nil
}

// Fragments are EntroOS's own, in their fixed order. An option in two of them
// is an error that names both.
func Fragments() ([]Fragment, error) {
	fragments := make([]Fragment, 0, len(concerns))
	owner := map[string]string{}
	for _, name := range concerns {
		file, err := fragmentFiles.Open("fragments/" + name + ".config")
		if err != nil {
			return nil, err
		}
		fragment, err := Parse(name, file)
		file.Close()
		if err != nil {
			return nil, err
		}
		for _, group := range fragment.Groups {
			for _, option := range group.Options {
				if other := owner[option.Name]; other != "" {
					return nil, fmt.Errorf("%s is in %s.config and in %s.config", option.Name, other, name)
				}
				owner[option.Name] = name
			}
		}
		fragments = append(fragments, fragment)
	}
	return fragments, nil
}

// Text is all options of the fragments as lines of a .config file, without
// their comments.
func Text(fragments []Fragment) string {
	var text strings.Builder
	for _, fragment := range fragments {
		for _, group := range fragment.Groups {
			for _, option := range group.Options {
				text.WriteString(option.String())
				text.WriteByte('\n')
			}
		}
	}
	return text.String()
}

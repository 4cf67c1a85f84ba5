package kernelconfig

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// DroppedError lists the options that were asked for and that the final
// configuration has not, or has otherwise. Kconfig drops an option whose parent
// is off without a word.
type DroppedError struct {
	Dropped []Dropped
}

// Dropped is one option that did not make it.
type Dropped struct {
	// Want is what a fragment asks for.
	Want Option
	// Got is its value in the final configuration, empty when it is absent.
	Got string
	// Fragment is the name of the fragment that asks.
	Fragment string
}

// Error has one line for each option.
func (e *DroppedError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d kernel option(s) asked for are not in the final configuration:", len(e.Dropped))
	for _, d := range e.Dropped {
		got := "is absent (unknown to this kernel, or a parent of it is off)"
		if d.Got == Off {
			got = "is off (a parent of it is off)"
		} else if d.Got != "" {
			got = "is " + d.Got
		}
		fmt.Fprintf(&text, "\n  %s (%s.config): wanted %s, %s", d.Want.Name, d.Fragment, d.Want.Value, got)
	}
	return text.String()
}

// Check compares a final .config with what the fragments ask for. The error is
// a *DroppedError when an option is missing or different. An option that must be
// off may be off or absent.
func Check(fragments []Fragment, config io.Reader) error {
	final := map[string]string{}
	scanner := bufio.NewScanner(config)
	for scanner.Scan() {
		if option, ok := parseOption(scanner.Text()); ok {
			final[option.Name] = option.Value
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("reading the final kernel configuration: %w", err)
	}
	var dropped []Dropped
	for _, fragment := range fragments {
		for _, group := range fragment.Groups {
			for _, want := range group.Options {
				got := final[want.Name]
				if got == want.Value || want.Value == Off && got == "" {
					continue
				}
				dropped = append(dropped, Dropped{Want: want, Got: got, Fragment: fragment.Name})
			}
		}
	}
	if len(dropped) > 0 {
		return &DroppedError{Dropped: dropped}
	}
	return nil
}

package debian

import (
	"fmt"
	"slices"
	"strings"
)

// CopyrightOf is the part of a machine-readable debian/copyright that holds for
// one of its Files patterns, given as it stands there: that paragraph, and the
// text of its licence.
func CopyrightOf(copyright, pattern string) (string, error) {
	licences := map[string]string{}
	var found, licence string
	for paragraph := range strings.SplitSeq(strings.ReplaceAll(copyright, "\r\n", "\n"), "\n\n") {
		paragraph = strings.Trim(paragraph, "\n")
		fields := map[string]string{}
		var last string
		for line := range strings.Lines(paragraph) {
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
				fields[last] += "\n" + line
			} else if name, value, ok := strings.Cut(line, ":"); ok {
				last = name
				fields[name] = strings.TrimSpace(value)
			}
		}
		short, _, _ := strings.Cut(fields["License"], "\n")
		if _, ok := fields["Files"]; !ok && short != "" {
			licences[short] = paragraph
		} else if slices.Contains(strings.Fields(fields["Files"]), pattern) {
			found, licence = paragraph, short
		}
	}
	if found == "" {
		return "", fmt.Errorf("the copyright file says nothing of %s", pattern)
	}
	text := licences[licence]
	if text == "" && !strings.Contains(found, "\nLicense: "+licence+"\n ") {
		return "", fmt.Errorf("the copyright file has no text of the licence %q", licence)
	}
	return strings.TrimSpace(found+"\n\n"+text) + "\n", nil
}

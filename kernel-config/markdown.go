package kernelconfig

import (
	"fmt"
	"strings"
)

// Markdown is docs/kernel.md: a table for each fragment that says why each
// option is there. It is made from the fragments' comments alone.
func Markdown(fragments []Fragment) string {
	var text strings.Builder
	text.WriteString(`# The kernel

EntroOS's kernel is Debian's linux-source-6.12 with tinyconfig and the options below, all built in. They lie in
` + "`kernel-config/fragments/`" + `, one file for each concern. ` + "`entroos kernel build`" + ` fails and names the option when one of
them is not in the final configuration; ` + "`entroos kernel config`" + ` prints that configuration, which is also
` + "`/proc/config.gz`" + ` on the box. This file is printed by ` + "`entroos kernel docs`" + `.
`)
	for _, fragment := range fragments {
		title := strings.ReplaceAll(fragment.Name, "-", " ")
		fmt.Fprintf(&text, "\n## %s\n\n%s\n\n| Why | Options |\n|---|---|\n", strings.ToUpper(title[:1])+title[1:], fragment.About)
		for _, group := range fragment.Groups {
			names := make([]string, 0, len(group.Options))
			for _, option := range group.Options {
				name := strings.TrimPrefix(option.Name, "CONFIG_")
				switch option.Value {
				case "y":
					names = append(names, "`"+name+"`")
				case Off:
					names = append(names, "no `"+name+"`")
				default:
					names = append(names, "`"+name+"="+option.Value+"`")
				}
			}
			fmt.Fprintf(&text, "| %s | %s |\n", strings.ReplaceAll(group.Why, "|", `\|`), strings.Join(names, ", "))
		}
	}
	return text.String()
}

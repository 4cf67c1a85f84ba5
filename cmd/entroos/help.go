package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// inOneLine are commands that share a line of the console's help with the next.
var inOneLine = map[string]string{
	"stop":  "Stop containers, or start those that have ended",
	"disks": "List the box's disks, or put EntroOS on one of them",
}

// shortenHelp makes a console's `help` fit its 24 lines: one for each command
// or two, beside their group, and `exit` in the last.
func shortenHelp(root *cobra.Command) {
	long := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		if c != root {
			long(c, args)
			return
		}
		t := &table{list: true}
		for _, group := range root.Groups() {
			title := strings.TrimSuffix(group.Title, ":")
			first := ""
			for _, sub := range root.Commands() {
				switch name := sub.Name(); {
				case sub.GroupID != group.ID || !sub.IsAvailableCommand() || name == "exit":
				case inOneLine[name] != "":
					first = name
				case first != "":
					t.row(title, first+", "+name, inOneLine[first])
					title, first = "", ""
				default:
					t.row(title, name, sub.Short)
					title = ""
				}
			}
		}
		var text strings.Builder
		if err := writeTable(&text, t, 0); err != nil {
			c.PrintErrln("entroos:", err)
			return
		}
		fmt.Fprintf(c.OutOrStdout(), "%s`help COMMAND` tells more; most take --json; TAB completes; `exit` leaves.\n", &text)
	})
}

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// shortenHelp makes a console's `help` fit its 24 lines: one for each command,
// beside its group, and `exit` in the last.
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
			for _, sub := range root.Commands() {
				if sub.GroupID == group.ID && sub.IsAvailableCommand() && sub.Name() != "exit" {
					t.row(title, sub.Name(), sub.Short)
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

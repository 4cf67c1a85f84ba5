package main

import (
	"context"
	"fmt"
	"strconv"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/equations"
)

func newEquationsCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "equations [COMMAND]", Short: "The governing equations: list, check",
		Long: "The 70 equations that the box is governed by, and whether each holds on it now. Without a command they are listed.",
		Args: cobra.ArbitraryArgs,
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(c, args[0])
		}
		return env.listEquations(*asJSON)
	}
	list := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List the equations; needs no box", Args: cobra.NoArgs}
	listJSON := jsonFlag(list)
	list.RunE = func(*cobra.Command, []string) error { return env.listEquations(*listJSON) }
	c.AddCommand(list, newEquationsCheckCommand(env))
	return c
}

func (env *environment) listEquations(asJSON bool) error {
	rows := equations.Rows()
	if asJSON {
		list := make([]equationJSON, len(rows))
		for i, r := range rows {
			list[i] = equationJSON{r.Number, r.Section, r.Name, r.Formula, r.Component, r.Invariant}
		}
		return env.printJSON(list)
	}
	t := newTable("#", "NAME", "EQUATION", "AT WORK IN", "HOLDS WHEN")
	for _, r := range rows {
		t.row(strconv.Itoa(r.Number), r.Name, r.Formula, r.Component, r.Invariant)
	}
	return env.printTable(t)
}

// equationJSON is an equation as `equations ls --json` prints it.
type equationJSON struct {
	Number    int    `json:"number"`
	Section   string `json:"section"`
	Name      string `json:"name"`
	Formula   string `json:"formula"`
	Component string `json:"component"`
	Invariant string `json:"invariant"`
}

// errInconsistent is told by the table already.
var errInconsistent = &statusError{status: exitError}

func newEquationsCheckCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "check", Short: "Check each equation over what the box knows of itself", Args: cobra.NoArgs,
		Long: "Evaluates the invariant of each of the 70 equations over the box's own telemetry, by recomputing what its\n" +
			"components went on with. n/a: the box has no such thing, for the reason given; it counts neither way.\n" +
			"The exit status is 1 when a row fails.",
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.CheckEquations(ctx, connect.NewRequest(&entroosv1.CheckEquationsRequest{}))
			if err != nil {
				return err
			}
			if *asJSON {
				err = env.printJSON(jsonMessage{res.Msg})
			} else {
				err = env.printChecks(res.Msg)
			}
			if err == nil && res.Msg.Hold < res.Msg.Apply {
				err = errInconsistent
			}
			return err
		})
	}
	return c
}

func (env *environment) printChecks(res *entroosv1.CheckEquationsResponse) error {
	t := newTable("#", "NAME", "RESULT", "SEEN")
	for _, c := range res.Checks {
		t.row(strconv.FormatUint(uint64(c.Number), 10), c.Name, checkWord(c.State), c.Seen)
	}
	if err := env.printTable(t); err != nil {
		return err
	}
	share := "-"
	if res.Apply > 0 {
		share = fmt.Sprintf("%.4g %%", 100*float64(res.Hold)/float64(res.Apply))
	}
	return env.println(fmt.Sprintf("model consistency: %d of %d applicable rows hold (%s), %d not applicable",
		res.Hold, res.Apply, share, len(res.Checks)-int(res.Apply)))
}

func checkWord(s entroosv1.EquationCheck_State) string {
	switch s {
	case entroosv1.EquationCheck_STATE_PASS:
		return "pass"
	case entroosv1.EquationCheck_STATE_FAIL:
		return "FAIL"
	case entroosv1.EquationCheck_STATE_NOT_APPLICABLE:
		return "n/a"
	}
	return "?"
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"runtime/debug"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// clientVersion says what this command was built from.
type clientVersion struct {
	Revision string `json:"revision"`
	Go       string `json:"go"`
}

func newVersionCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "version", Short: "Versions of this command and of the box",
		Long: "Versions of this command and of the box. --json has null for a box that is not there.",
		Args: cobra.NoArgs,
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			client := ownVersion()
			res, err := b.GetVersion(ctx, connect.NewRequest(&entroosv1.GetVersionRequest{}))
			switch {
			case err == nil:
				return env.printVersion(*asJSON, client, res.Msg)
			case env.admin == defaultAdmin && noBoxHere(err):
				return env.printVersion(*asJSON, client, nil)
			}
			return err
		})
	}
	return c
}

func (env *environment) printVersion(asJSON bool, client clientVersion, box *entroosv1.GetVersionResponse) error {
	if asJSON {
		all := struct {
			Client clientVersion   `json:"client"`
			Box    json.RawMessage `json:"box"`
		}{Client: client, Box: json.RawMessage("null")}
		if box != nil {
			var err error
			if all.Box, err = json.Marshal(jsonMessage{box}); err != nil {
				return err
			}
		}
		return env.printJSON(all)
	}
	t := &table{}
	if box != nil {
		t.row("EntroOS:", box.Version)
		t.row("Kernel:", box.Kernel)
		t.row("runc:", box.Runc)
		t.row("Go:", box.Go)
	}
	if box == nil || client.Revision != unknownRevision { // the box's own command is of the box's version
		t.row("Command:", fmt.Sprintf("revision %s, %s", client.Revision, client.Go))
	}
	return env.printTable(t)
}

// unknownRevision is that of a build without version control's record.
const unknownRevision = "unknown"

// ownVersion is from the build's own record. The version of EntroOS is never
// inside a binary, or every binary would change with each release.
func ownVersion() clientVersion {
	v := clientVersion{Revision: unknownRevision, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = shortID(s.Value)
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if dirty {
		v.Revision += " with changes"
	}
	return v
}

// noBoxHere says that an error is that of a machine which is no box.
func noBoxHere(err error) bool {
	var unreachable *unreachableError
	return errors.As(err, &unreachable) && errors.Is(unreachable.err, fs.ErrNotExist)
}

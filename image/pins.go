//go:build pins

package image

// The programs that the image carries from other modules. They are built by
// import path, in the versions go.mod pins; this file keeps them there.
import (
	_ "github.com/gokrazy/gokrazy/cmd/dhcp"
	_ "github.com/gokrazy/gokrazy/cmd/ntp"
	_ "github.com/opencontainers/runc"
)

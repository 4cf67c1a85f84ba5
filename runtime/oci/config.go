package oci

import (
	"encoding/json"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// imageConfig is what EntroOS needs of an image's configuration. Its history is
// left out: in memory it can be many times larger than the document.
type imageConfig struct {
	Created      v1.Time   `json:"created"`
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Config       v1.Config `json:"config"`
	RootFS       struct {
		DiffIDs []v1.Hash `json:"diff_ids"`
	} `json:"rootfs"`
}

func parseImageConfig(raw []byte) (imageConfig, error) {
	var c imageConfig
	err := json.Unmarshal(raw, &c)
	return c, malformed(err)
}

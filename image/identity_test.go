package image

import (
	"testing"

	"github.com/google/uuid"

	"github.com/entroos/entroos/appliance/blockdev"
)

// TestIdentitiesAreReplaced: the first boot knows by blockdev.OfImage which
// identities are every copy's.
func TestIdentitiesAreReplaced(t *testing.T) {
	for _, id := range []string{diskGUID, espGUID, settingsGUID, dataGUID, dataUUID} {
		if !blockdev.OfImage(uuid.MustParse(id)) {
			t.Errorf("the first boot would keep %s", id)
		}
	}
	if blockdev.OfImage(uuid.New()) {
		t.Error("a random UUID is taken for the image's")
	}
	if blockdev.ESP != espNumber || blockdev.Settings != settingsNumber || blockdev.Data != dataNumber {
		t.Error("the partitions have other numbers in the image than on the box")
	}
}

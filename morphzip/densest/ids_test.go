package densest

import "testing"

// TestIDsCollide: the hashes of all orders fall on one place.
func TestIDsCollide(t *testing.T) {
	d := idModel{heads: make([]int32, 1)}
	for i := range 100 {
		d.add(i % 3)
	}
	if len(d.history) != 100 {
		t.Errorf("%d ids", len(d.history))
	}
}

package appliance

import (
	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/nko/noise"
)

// StartNoise starts the watch over the box's timing noise. Without a store what
// it learns is lost at the next boot.
func (b *Box) StartNoise() error {
	var references noise.References
	if b.Store != nil { // a nil *nko.Store is no nil References
		references = b.Store
	}
	b.Noise = noise.NewMonitor(new(noise.MemoryWalk), references, b.Logger)
	_, err := b.Supervisor.Add(nko.ServiceSpec{Name: "noise", Run: b.Noise.Serve})
	return err
}

// noiseStatus adds the node's entropy.
func (b *Box) noiseStatus(st *entroosv1.GetStatusResponse) {
	if b.Noise != nil {
		st.NodeEntropy, st.NodeEntropyHealthy, st.NodeEntropyAssessed = b.Noise.Entropy()
	}
}

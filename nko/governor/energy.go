package governor

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/entroos/entroos/equations"
)

// joule is how many there are in a unit of the kernel's energy counters.
const joule = 1e-6

// energyDomain is one of the CPU's energy counters (RAPL, equation 40).
type energyDomain struct {
	dir   string
	facts equations.EnergyFacts
	at    time.Time // of facts.After
	watts float64
}

// findEnergy finds the counters of whole packages. A machine without any, as
// virtual ones are, has none.
func findEnergy(sys string) (domains []energyDomain) {
	// Glob's one error is about the pattern. Parts of a package have two colons.
	dirs, _ := filepath.Glob(filepath.Join(sys, "class/powercap/intel-rapl:*"))
	for _, dir := range dirs {
		if strings.Count(filepath.Base(dir), ":") != 1 {
			continue
		}
		name, err := os.ReadFile(filepath.Join(dir, "name"))
		if err != nil {
			continue
		}
		span, err := readLimit(filepath.Join(dir, "max_energy_range_uj"))
		if err != nil || span == 0 {
			continue
		}
		domains = append(domains, energyDomain{dir: dir, facts: equations.EnergyFacts{
			Domain: strings.TrimSpace(string(name)), Span: span, Unit: joule,
		}})
	}
	return domains
}

// read takes the next reading.
func (d *energyDomain) read(now time.Time) error {
	counter, err := readLimit(filepath.Join(d.dir, "energy_uj"))
	if err != nil {
		return err
	}
	first := d.at.IsZero()
	elapsed := now.Sub(d.at)
	d.facts.Before, d.facts.After, d.at = d.facts.After, counter, now
	if first {
		d.facts.Before = counter
		return nil
	}
	d.facts.Energy = equations.Energy(d.facts.Before, d.facts.After, d.facts.Span, d.facts.Unit)
	d.watts = d.facts.Energy / elapsed.Seconds()
	return nil
}

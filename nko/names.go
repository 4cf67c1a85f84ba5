package nko

import (
	"math/rand/v2"
	"strconv"
)

var (
	nameAdjectives = []string{
		"agile", "ample", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "crisp",
		"deep", "eager", "early", "even", "fair", "fast", "fine", "firm", "fleet", "fresh",
		"gentle", "glad", "golden", "grand", "green", "hardy", "keen", "kind", "light", "lively",
		"loyal", "lucid", "merry", "mild", "neat", "noble", "proud", "quick", "quiet", "rapid",
		"ready", "robust", "sharp", "silent", "silver", "smart", "snug", "solid", "steady", "still",
		"sturdy", "subtle", "swift", "tidy", "vivid", "warm", "wise", "witty", "young", "zesty",
	}
	nameNouns = []string{
		"alder", "anchor", "arrow", "aspen", "badger", "beacon", "birch", "breeze", "brook", "canyon",
		"cedar", "cliff", "comet", "condor", "crane", "creek", "delta", "dune", "eagle", "ember",
		"falcon", "fern", "finch", "fjord", "forest", "fox", "glacier", "grove", "harbor", "hawk",
		"heron", "island", "lagoon", "lake", "lark", "maple", "meadow", "mesa", "moon", "oak",
		"ocean", "orchid", "otter", "owl", "pine", "plover", "prairie", "raven", "reef", "ridge",
		"river", "robin", "spruce", "summit", "swan", "tundra", "valley", "willow", "wolf", "wren",
	}
)

// randomName gives a name like "quiet_otter" that is not taken.
func randomName(taken func(string) bool) string {
	for attempt := 0; ; attempt++ {
		name := nameAdjectives[rand.IntN(len(nameAdjectives))] + "_" + nameNouns[rand.IntN(len(nameNouns))]
		if attempt > 3 {
			name += strconv.Itoa(rand.IntN(1_000_000))
		}
		if !taken(name) {
			return name
		}
	}
}

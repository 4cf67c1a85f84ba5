package comparison

import "math"

// Summary is what a program made of several files.
type Summary struct {
	Program string `json:"program"`
	Files   int    `json:"files"`
	// Ratio is all compressed bytes by all original ones.
	Ratio float64 `json:"ratio"`
	// GeometricMean is that of the files' ratios.
	GeometricMean float64 `json:"geometric_mean_ratio"`
	// In and Out are original bytes a second of processor time.
	In  float64 `json:"in_bytes_per_cpu_second"`
	Out float64 `json:"out_bytes_per_cpu_second"`
	// Memory is the largest resident set of both directions, in bytes.
	Memory int64 `json:"memory_bytes"`
}

// Summarise gives a summary for each program, in the order of their first
// results.
func Summarise(results []Result) []Summary {
	var programs []string
	byProgram := map[string][]Result{}
	for _, r := range results {
		if byProgram[r.Program] == nil {
			programs = append(programs, r.Program)
		}
		byProgram[r.Program] = append(byProgram[r.Program], r)
	}
	var summaries []Summary
	for _, p := range programs {
		s := Summary{Program: p, Files: len(byProgram[p])}
		var original, compressed int64
		var in, out, logs float64
		for _, r := range byProgram[p] {
			original += r.Original
			compressed += r.Compressed
			in += r.In.CPU.Seconds()
			out += r.Out.CPU.Seconds()
			logs += math.Log(r.Ratio())
			s.Memory = max(s.Memory, r.In.Memory, r.Out.Memory)
		}
		s.Ratio = float64(compressed) / float64(original)
		s.GeometricMean = math.Exp(logs / float64(s.Files))
		s.In, s.Out = float64(original)/in, float64(original)/out
		summaries = append(summaries, s)
	}
	return summaries
}

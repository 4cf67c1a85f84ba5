package equations

// clamp01 is min(1, max(0, x)). NaN becomes 0: what is not known is not
// credited.
func clamp01(x float64) float64 {
	switch {
	case x >= 1:
		return 1
	case x > 0:
		return x
	}
	return 0
}

package densest

// T are constants under tuning.
var T = [16]int{50000, 300, 20, 600, 127, 255, 80, 8, 300, 5, 6, 1, 2, 256, 0, 0}

func init() {
	initialWeight = int32(T[0])
	defaultRates = rates{first: T[1], last: T[2], decay: T[3], limit: uint32(T[4]), mapLimit: uint32(T[5])}
}

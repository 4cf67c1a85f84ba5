package densest

import (
	"os"
	"strconv"
	"strings"
)

func init() {
	for _, kv := range strings.Fields(os.Getenv("T")) {
		k, v, _ := strings.Cut(kv, "=")
		i, _ := strconv.Atoi(k)
		T[i], _ = strconv.Atoi(v)
	}
	initialWeight = int32(T[0])
	defaultRates = rates{first: T[1], last: T[2], decay: T[3], limit: uint32(T[4]), mapLimit: uint32(T[5])}
}

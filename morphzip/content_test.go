package morphzip

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// records are numbers in records of 16 bytes.
func records(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	var b []byte
	at := uint64(1 << 40)
	for i := range n {
		at += 1000 + r.Uint64N(9)
		b = binary.LittleEndian.AppendUint64(b, at)
		b = binary.LittleEndian.AppendUint32(b, uint32(i*i))
		b = binary.LittleEndian.AppendUint32(b, uint32(r.IntN(500)))
	}
	return b
}

// code is what calls in machine code look like: n functions that are called from
// everywhere.
func code(n int) []byte {
	r := rand.New(rand.NewPCG(5, 6))
	var b []byte
	for len(b) < 8*n {
		b = append(b, 0x48, 0x8B, byte(0x40+r.IntN(8)), byte(8*r.IntN(16)), 0xE8)
		target := 4096 * r.IntN(10)
		b = binary.LittleEndian.AppendUint32(b, uint32(target-len(b)-4))
		b = append(b, 0x48, 0x85, 0xC0, 0x74, byte(r.IntN(40)))
	}
	return b
}

// skewed is bytes without order, some far more frequent.
func skewed(n int) []byte {
	r := rand.New(rand.NewPCG(7, 8))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(min(r.ExpFloat64()*3, 40))
	}
	return b
}

func jsonLines(n int) []byte {
	r := rand.New(rand.NewPCG(9, 10))
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"time":"2027-01-15T08:%02d:%02dZ","level":"info","id":%d,"user":{"name":"u%d","ok":%v},"took":%d.%d}`+"\n",
			i/60%60, i%60, 1000+i, r.IntN(9), r.IntN(2) == 0, r.IntN(100), r.IntN(10))
	}
	return b.Bytes()
}

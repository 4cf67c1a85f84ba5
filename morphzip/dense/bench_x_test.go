package dense

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
)

func ut() float64 {
	var r syscall.Rusage
	syscall.Getrusage(0, &r)
	return float64(r.Utime.Sec) + float64(r.Utime.Usec)/1e6
}

func TestBench(t *testing.T) {
	bl := 8 << 20
	if s := os.Getenv("BL"); s != "" {
		fmt.Sscan(s, &bl)
	}
	eff := 7
	if s := os.Getenv("EFF"); s != "" {
		fmt.Sscan(s, &eff)
	}
	if p := os.Getenv("PROF"); p != "" {
		f, _ := os.Create(p)
		pprof.StartCPUProfile(f)
		defer pprof.StopCPUProfile()
	}
	for _, f := range strings.Fields(os.Getenv("FS")) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		tot := 0
		te := 0.0
		td := 0.0
		for i := 0; i < len(b); i += bl {
			x := b[i:min(i+bl, len(b))]
			t0 := ut()
			z, ok := Encode(nil, x, eff)
			te += ut() - t0
			if !ok {
				fmt.Println("not ok")
				tot += len(x)
				continue
			}
			tot += len(z)
			t0 = ut()
			y, err := Decode(nil, z, len(x))
			td += ut() - t0
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(x, y) {
				t.Fatal("differ")
			}
		}
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		fmt.Printf("%s %d -> %d  %.5f  enc %.2f MB/s dec %.2f MB/s sys %d MB\n", f, len(b), tot, float64(tot)/float64(len(b)), float64(len(b))/te/1e6, float64(len(b))/td/1e6, ms.Sys>>20)
	}
}

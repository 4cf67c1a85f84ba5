package mixing

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestBench(t *testing.T) {
	for _, f := range []string{"/tmp/h3/d/text", "/tmp/h3/d/bin", "/tmp/h3/d/tar", "/tmp/h3/d/log"} {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		t0 := ut()
		c := NewEncoder(nil)
		out := newBytesModel(7).code(c, make([]byte, 0, len(b)), b, len(b))
		z := c.Finish()
		d := ut() - t0
		if !bytes.Equal(out, b) {
			t.Fatal("x")
		}
		fmt.Printf("%s %d -> %d  %.4f  %.2f MB/s\n", f, len(b), len(z), float64(len(z))/float64(len(b)), float64(len(b))/d/1e6)
	}
}

func ut() float64 {
	var r syscall.Rusage
	syscall.Getrusage(0, &r)
	return float64(r.Utime.Sec) + float64(r.Utime.Usec)/1e6
}

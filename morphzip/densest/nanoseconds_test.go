package densest

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// Since 1970 there were more than 2^60 nanoseconds.
func TestNanoseconds(t *testing.T) {
	var log []byte
	at := time.Date(2026, 11, 23, 7, 0, 0, 123456789, time.UTC)
	for i := range 2000 {
		at = at.Add(time.Duration(i*7919%1000003) * time.Microsecond)
		log = fmt.Appendf(log, "%s job %d of container web is done\n", at.Format("2006-01-02T15:04:05.000000000Z"), i)
	}
	coded, ok := Encode(nil, log)
	if !ok || coded[0] != modeLines {
		t.Fatalf("mode %d, %v", coded[0], ok)
	}
	back, err := Decode(nil, coded, len(log))
	if err != nil || !bytes.Equal(back, log) {
		t.Fatalf("another log came back: %v", err)
	}
}

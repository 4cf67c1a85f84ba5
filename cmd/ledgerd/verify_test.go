package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/ledger/proof"
)

// ledgerd as a verifier says what the verifier's package does, of good files
// and of others.
func TestVerifyWith(t *testing.T) {
	d := start(t, filepath.Join(t.TempDir(), "home"))
	defer d.stop(t)
	if s, err := d.submit(receipts(t, 1)[0]); err != nil || s.Outcome != ledger.Committed {
		t.Fatalf("%+v, %v", s, err)
	}
	file, err := d.client.Export(t.Context(), "#1")
	if err != nil {
		t.Fatal(err)
	}
	status, err := d.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	digest, err := hex.DecodeString(status.GenesisHash)
	if err != nil {
		t.Fatal(err)
	}
	genesis := [32]byte(digest)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("LEDGERD_TEST_MAIN", "1")
	want, err := proof.Verify(file, genesis)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ledger.VerifyWith(t.Context(), self, file, genesis)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Signed.Equal(want.Signed) {
		t.Errorf("signed at %v, want %v", got.Signed, want.Signed)
	}
	got.Signed = want.Signed // may be of another time zone
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}

	changed := append([]byte(nil), file...)
	changed[len(changed)/2] ^= 1
	for name, test := range map[string]struct {
		file    []byte
		genesis [32]byte
	}{"changed": {changed, genesis}, "another ledger's": {file, [32]byte{1}}} {
		_, want := proof.Verify(test.file, test.genesis)
		_, err := ledger.VerifyWith(t.Context(), self, test.file, test.genesis)
		if want == nil || err == nil || err.Error() != want.Error() {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	if _, err := ledger.VerifyWith(t.Context(), "/bin/true", file, genesis); err == nil || !strings.Contains(err.Error(), "did not say") {
		t.Errorf("a program that says nothing: %v", err)
	}
}

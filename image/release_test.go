package image

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// checkRelease looks at what lies beside the images.
func checkRelease(t *testing.T, result Result) {
	t.Helper()
	check := exec.Command("sha256sum", "--check", "--strict", result.Sums)
	check.Dir = filepath.Dir(result.Sums)
	output, err := check.CombinedOutput()
	if err != nil {
		t.Errorf("sha256sum: %v\n%s", err, output)
	}
	for _, path := range []string{result.UKI, result.Disk, result.Compressed, result.Bill} {
		if !strings.Contains(string(output), filepath.Base(path)+": OK") {
			t.Errorf("SHA256SUMS does not name %s:\n%s", path, output)
		}
	}
	checkUnpacks(t, result.Compressed, result.Disk)
}

// checkUnpacks checks that packed unpacks to plain.
func checkUnpacks(t *testing.T, packed, plain string) {
	t.Helper()
	from, err := os.Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	decoder, err := zstd.NewReader(from)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	want, err := os.Open(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	got, expected := make([]byte, mebibyte), make([]byte, mebibyte)
	for at := 0; ; at += mebibyte {
		n, gotErr := io.ReadFull(decoder, got)
		m, wantErr := io.ReadFull(want, expected)
		if n != m || !bytes.Equal(got[:n], expected[:m]) {
			t.Fatalf("%s unpacks to something else, from byte %d on", packed, at)
		}
		if gotErr != wantErr {
			t.Fatalf("unpacking %s: %v, reading %s: %v", packed, gotErr, plain, wantErr)
		}
		if gotErr != nil {
			return
		}
	}
}

// A quick build leaves nothing of an earlier one that describes other images.
func TestQuickHasNoRelease(t *testing.T) {
	builder := newTinyBuilder(t)
	first, err := builder.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	builder.Quick = true
	second, err := builder.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if second.Sums+second.Bill+second.Compressed != "" {
		t.Errorf("a quick build has %+v", second)
	}
	for _, path := range []string{first.Sums, first.Bill, first.Compressed} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}

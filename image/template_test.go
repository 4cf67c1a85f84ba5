package image

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// The template is a data partition like the image's own.
func TestDataTemplate(t *testing.T) {
	if err := requireTools(); err != nil {
		t.Skip(err)
	}
	packed := filepath.Join(t.TempDir(), "data.ext4.zst")
	if err := writeDataTemplate(context.Background(), packed); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() > 100<<10 {
		t.Errorf("its size is %d (%v)", info.Size(), err)
	}
	decoder, err := zstd.NewReader(file, zstd.WithDecoderMaxWindow(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	plain, err := os.Create(filepath.Join(t.TempDir(), "data.ext4"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	size, err := decoder.WriteTo(plain)
	if err != nil || size != minDataSize {
		t.Fatalf("%d bytes (%v)", size, err)
	}
	checkExt4(t, plain.Name())
}

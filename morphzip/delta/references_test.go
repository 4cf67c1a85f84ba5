package delta

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"testing"
)

// smallImage is an ELF file with code and data.
func smallImage() []byte {
	le := binary.LittleEndian
	const headers, text, data = 64 + 56, 0x100, 0x140
	image := make([]byte, 0x200)
	copy(image, elfMagic)
	le.PutUint16(image[18:], 62)
	le.PutUint64(image[32:], 64)
	le.PutUint64(image[40:], headers)
	le.PutUint16(image[54:], 56)
	le.PutUint16(image[56:], 1)
	le.PutUint16(image[58:], 64)
	le.PutUint16(image[60:], 2)
	le.PutUint32(image[64:], 1)
	le.PutUint64(image[64+16:], 0x400000)
	le.PutUint64(image[64+32:], uint64(len(image)))
	le.PutUint64(image[64+40:], 0x1000)
	for i, section := range []struct{ flags, at, size uint64 }{{6, text, data - text}, {2, data, 0x20}} {
		h := image[headers+64*i:]
		le.PutUint32(h[4:], 1)
		le.PutUint64(h[8:], section.flags)
		le.PutUint64(h[16:], 0x400000+section.at)
		le.PutUint64(h[24:], section.at)
		le.PutUint64(h[32:], section.size)
	}
	// The sections' headers end where the code begins, but for the last words.
	copy(image[text:], []byte{
		0xe8, 0x10, 0, 0, 0, // call
		0x48, 0x8d, 0x05, 0x30, 0, 0, 0, // lea
		0x83, 0x3d, 0x20, 0, 0, 0, 7, // cmp with an immediate
		0xc3,
	})
	le.PutUint64(image[data:], 0x400100)
	return image
}

func TestReferences(t *testing.T) {
	image := smallImage()
	for _, before := range []int{0, 3, pageSize - 4, pageSize - 200} {
		file := append(bytes.Repeat([]byte{1}, before), image...)
		r := findReferences(newPages(bytes.NewReader(file), int64(len(file)), fewPages))
		c := r.from(0)
		for _, want := range []word{{0x101, distance0}, {0x108, distance0}, {0x10e, distance1}, {0x140, address64}} {
			at, k, ok := c.next()
			if !ok || at != want.offset+int64(before) || k != want.kind {
				t.Fatalf("%d bytes on: a reference at %#x of kind %d, %v; not %+v", before, at-int64(before), k, ok, want)
			}
		}
		if at, _, ok := c.next(); ok {
			t.Errorf("one more at %#x", at)
		}
	}
}

// The lengths of all of a program's instructions are as objdump has them.
func TestInstructionLengths(t *testing.T) {
	objdump, err := exec.LookPath("objdump")
	if err != nil {
		t.Skip("binutils' objdump tells the lengths")
	}
	program := testProgram(t)
	file := newPages(bytes.NewReader(program), int64(len(program)), fewPages)
	images := findImages(file)
	if len(images) == 0 || runtime.GOARCH != "amd64" {
		t.Skip("this is no x86-64 ELF file")
	}
	text := images[0].section(".text")
	from := text.address + uint64(text.end-text.start)/2&^63
	to := from + 1<<17
	listing, err := exec.Command(objdump, "-d", "-w", "--start-address="+strconv.FormatUint(from, 10),
		"--stop-address="+strconv.FormatUint(to, 10), programPath(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t?(.*)$`).FindAllSubmatch(listing, -1)
	if len(lines) < 1000 {
		t.Fatalf("objdump lists %d instructions", len(lines))
	}
	wrong := 0
	for _, line := range lines {
		address, err := strconv.ParseUint(string(line[1]), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		want := len(bytes.Fields(line[2]))
		var code [16]byte
		n := file.read(code[:], text.start+int64(address-text.address))
		if got, _ := instruction(code[:n]); got != want && !bytes.Contains(line[3], []byte("(bad)")) && address+16 < to {
			if wrong++; wrong < 10 {
				t.Errorf("%x at %#x (%s) is of %d bytes, not %d", code[:n], address, line[3], want, got)
			}
		}
	}
}

func programPath(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// What is foretold of a program's table of functions is what the linker wrote.
func TestBuckets(t *testing.T) {
	program := testProgram(t)
	file := newPages(bytes.NewReader(program), int64(len(program)), fewPages)
	r := findReferences(file)
	if len(r.images) != 1 || r.functions[0] == 0 {
		t.Skip("this is no x86-64 ELF file with tables")
	}
	place := func(k kind) int64 {
		at, ok := r.images[0].placeOf(r.bases[0][k])
		if !ok {
			t.Fatalf("no base %d", k)
		}
		return at
	}
	b := &buckets{index: place(fromIndexed), count: r.functions[0], table: place(fromBuckets)}
	for at := range len(program) / 100 {
		b.see(program[at*100:(at+1)*100], int64(at*100))
	}
	size := int(b.size())
	if size < 1000 {
		t.Fatalf("a table of %d bytes", size)
	}
	got := make([]byte, size+200)
	b.foretell(got, b.table-100)
	if !bytes.Equal(got[100:100+size], program[b.table:][:size]) || !bytes.Equal(got[100+size:], make([]byte, 100)) {
		t.Error("another table is foretold")
	}
}

package firmware

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// clientModels are the processors of family 6 that small boxes have, since Sandy
// Bridge, as the kernel's intel-family.h numbers them. The servers' microcode,
// which is three times as much, stays out.
var clientModels = map[uint8]string{
	0x2a: "Sandy Bridge", 0x3a: "Ivy Bridge",
	0x3c: "Haswell", 0x45: "Haswell-L", 0x46: "Haswell-G",
	0x3d: "Broadwell", 0x47: "Broadwell-G",
	0x4e: "Skylake-L", 0x5e: "Skylake",
	0x8e: "Kaby Lake-L, Coffee Lake-L, Whiskey Lake", 0x9e: "Kaby Lake, Coffee Lake",
	0xa5: "Comet Lake", 0xa6: "Comet Lake-L", 0x66: "Cannon Lake-L",
	0x7e: "Ice Lake-L", 0x8c: "Tiger Lake-L", 0x8d: "Tiger Lake", 0xa7: "Rocket Lake", 0x8a: "Lakefield",
	0x97: "Alder Lake", 0x9a: "Alder Lake-L", 0xbe: "Alder Lake-N, Twin Lake",
	0xb7: "Raptor Lake", 0xba: "Raptor Lake-P", 0xbf: "Raptor Lake-S",
	0xaa: "Meteor Lake-L", 0xac: "Meteor Lake", 0xb5: "Arrow Lake-U", 0xc5: "Arrow Lake-H", 0xc6: "Arrow Lake",
	0xbd: "Lunar Lake", 0xcc: "Panther Lake-L",
	// The N and J series.
	0x37: "Bay Trail", 0x4c: "Braswell", 0x5c: "Apollo Lake", 0x7a: "Gemini Lake", 0x9c: "Jasper Lake", 0x96: "Elkhart Lake",
}

// update is one microcode update: Intel's format, "Software Developer's Manual",
// volume 3, chapter "Microcode update facilities".
type update []byte

const (
	updateHeader      = 48
	defaultUpdateSize = 2048 // where the header says 0
	maxUpdateSize     = 8 << 20
)

// word is one of the header's.
func (u update) word(i int) uint32 { return binary.LittleEndian.Uint32(u[4*i:]) }

// signature is the CPUID signature of the processor it is for.
func (u update) signature() uint32 { return u.word(3) }

// family and model are those of the signature.
func (u update) family() uint8 { return uint8(u.signature() >> 8 & 0xf) }

func (u update) model() uint8 { return uint8(u.signature()>>4&0xf | u.signature()>>12&0xf0) }

// flags are the platforms it is for.
func (u update) flags() uint32 { return u.word(6) }

// readUpdates reads the updates that follow one another in a file.
func readUpdates(file []byte) ([]update, error) {
	var all []update
	for len(file) > 0 {
		if len(file) < updateHeader {
			return nil, errors.New("it ends within a header")
		}
		header := update(file)
		if header.word(0) != 1 || header.word(5) != 1 {
			return nil, fmt.Errorf("a header of version %d for a loader of version %d: both should be 1", header.word(0), header.word(5))
		}
		size := int64(header.word(8))
		if header.word(7) == 0 {
			size = defaultUpdateSize
		}
		if size < updateHeader || size%4 != 0 || size > maxUpdateSize || size > int64(len(file)) {
			return nil, fmt.Errorf("an update of %d bytes, where %d are left", size, len(file))
		}
		one := header[:size]
		sum := uint32(0)
		for at := 0; at < len(one); at += 4 {
			sum += binary.LittleEndian.Uint32(one[at:])
		}
		// An extended signature table, where there is one, sums to zero by itself.
		if sum != 0 {
			return nil, fmt.Errorf("the update for %#x has a wrong checksum", one.signature())
		}
		all = append(all, one)
		file = file[size:]
	}
	return all, nil
}

// clientMicrocode is the microcode for client processors in Debian's files, as
// the kernel reads it from the initramfs: one update after the other, each once.
// Debian has the same update under each signature that it is for.
func clientMicrocode(files map[string][]byte) ([]byte, error) {
	var chosen []update
	seen := map[[sha256.Size]byte]bool{}
	for name, content := range files {
		updates, err := readUpdates(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, u := range updates {
			hash := sha256.Sum256(u)
			if u.family() != 6 || clientModels[u.model()] == "" || seen[hash] {
				continue
			}
			seen[hash] = true
			chosen = append(chosen, u)
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("the package has none for the processors of small boxes")
	}
	slices.SortFunc(chosen, func(a, b update) int {
		return cmp.Or(cmp.Compare(a.signature(), b.signature()), cmp.Compare(a.flags(), b.flags()), bytes.Compare(a, b))
	})
	var all []byte
	for _, u := range chosen {
		all = append(all, u...)
	}
	return all, nil
}

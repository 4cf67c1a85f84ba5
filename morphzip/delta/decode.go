package delta

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Decode writes the new file that a patch makes from the old one. It checks the
// old file before it writes, and the new one as a whole: until it returns nil,
// what was written is not to be used. It never writes more than the size that the
// patch says, and holds up to 64 MB.
func Decode(w io.Writer, old io.ReaderAt, oldSize int64, patch io.Reader) error {
	d := &decoder{in: bufio.NewReader(patch), out: w, old: newPages(old, oldSize, manyPages), hash: sha256.New()}
	return errors.Join(d.old.err, d.decode(old))
}

// cutOff is the error of reading the patch, where its end is damage.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut off", ErrCorrupt)
	}
	return err
}

// maxPlan is how many bytes a plan is coded in at most.
const maxPlan = 8 << 20

type decoder struct {
	in       *bufio.Reader
	out      io.Writer
	old      *pages
	size     int64 // of the new file
	hash     hash.Hash
	codec    *codec
	zstd     *zstd.Decoder
	literals []byte // of the section, when they are not mixed
	mixed    bool
	left     int64 // of the section
	at       int64
}

func (d *decoder) decode(old io.ReaderAt) error {
	var start [len(magic)]byte
	if _, err := io.ReadFull(d.in, start[:]); err != nil {
		return cutOff(err)
	}
	if string(start[:]) != magic {
		return fmt.Errorf("%w: it does not begin as one of version 1", ErrCorrupt)
	}
	oldSize, err := d.uvarint(MaxSize)
	if err != nil {
		return err
	}
	d.size, err = d.uvarint(MaxSize)
	if err != nil {
		return err
	}
	var digests [2 * digestSize]byte
	if _, err := io.ReadFull(d.in, digests[:]); err != nil {
		return cutOff(err)
	}
	if oldSize != d.old.size {
		return fmt.Errorf("%w: of %d bytes, and this has %d", ErrWrongFile, oldSize, d.old.size)
	}
	digest, err := digestOf(io.NewSectionReader(old, 0, oldSize))
	if err != nil {
		return err
	}
	if !bytes.Equal(digest, digests[:digestSize]) {
		return ErrWrongFile
	}
	if err := d.sections(); err != nil {
		return err
	}
	if _, err := d.in.ReadByte(); err == nil {
		return fmt.Errorf("%w: more follows its end", ErrCorrupt)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Equal(d.hash.Sum(nil)[:digestSize], digests[digestSize:]) {
		return fmt.Errorf("%w: another file comes out", ErrCorrupt)
	}
	return nil
}

// sections decodes the plan and what follows it.
func (d *decoder) sections() error {
	coded, err := d.bytes(maxPlan)
	if err != nil {
		return err
	}
	references := findReferences(d.old)
	s, err := decodePlan(coded, references, d.old.size, d.size)
	if err != nil {
		return err
	}
	d.codec = newCodec(d.old, newPredictor(references, s), s, true)
	data, scratch := make([]byte, partSize), make([]byte, partSize)
	for _, p := range append(s.pieces, piece{new: d.size}) {
		for d.at < p.new {
			part, err := d.part(data, p.new)
			if err != nil {
				return err
			}
			if err := d.insert(part); err != nil {
				return err
			}
			d.codec.see(part, d.at)
			if err := d.put(part); err != nil {
				return err
			}
		}
		for d.at < p.new+p.size {
			part, err := d.part(data, p.new+p.size)
			if err != nil {
				return err
			}
			from := p.old + d.at - p.new
			if d.at+int64(len(part)) < p.new+p.size && int64(len(part)) < d.left {
				part = part[:int64(len(part))-d.codec.cutsReference(from+int64(len(part)))]
			}
			d.codec.copy(part, from, d.at, scratch)
			if err := d.put(part); err != nil {
				return err
			}
		}
	}
	return nil
}

// part returns as much of data as comes next, and begins a section where one
// ended.
func (d *decoder) part(data []byte, end int64) ([]byte, error) {
	if d.left == 0 {
		if err := d.section(); err != nil {
			return nil, err
		}
	}
	return data[:min(partSize, end-d.at, d.left)], nil
}

// put writes a part that was decoded.
func (d *decoder) put(part []byte) error {
	d.at += int64(len(part))
	d.left -= int64(len(part))
	if err := d.codec.failed(); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if d.left == 0 && len(d.literals) > 0 {
		return fmt.Errorf("%w: bytes are left over", ErrCorrupt)
	}
	if d.old.err != nil {
		return d.old.err
	}
	d.hash.Write(part)
	_, err := d.out.Write(part)
	return err
}

// section reads the next section.
func (d *decoder) section() (err error) {
	if d.left, err = d.uvarint(d.size - d.at); err != nil {
		return err
	}
	if d.left == 0 {
		return fmt.Errorf("%w: a section of nothing", ErrCorrupt)
	}
	references, err := d.bytes(maxSection)
	if err != nil {
		return err
	}
	differences, err := d.bytes(maxSection)
	if err != nil {
		return err
	}
	mode, err := d.in.ReadByte()
	if err != nil {
		return cutOff(err)
	}
	literals, err := d.bytes(maxSection)
	if err != nil {
		return err
	}
	d.mixed = mode == literalsMixed
	switch mode {
	case literalsMixed:
		d.codec.begin(references, differences, literals)
		return nil
	case literalsPlain:
		d.literals = literals
	case literalsZstd:
		if d.zstd == nil {
			d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSection), zstd.WithDecoderMaxWindow(maxSection), zstd.WithDecoderLowmem(true))
			if err != nil {
				return err
			}
		}
		if d.literals, err = d.zstd.DecodeAll(literals, nil); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	default:
		return fmt.Errorf("%w: inserted bytes of the unknown kind %d", ErrCorrupt, mode)
	}
	d.codec.begin(references, differences, nil)
	return nil
}

func (d *decoder) insert(part []byte) error {
	if d.mixed {
		d.codec.insert(part)
		return nil
	}
	if len(d.literals) < len(part) {
		return fmt.Errorf("%w: bytes are missing", ErrCorrupt)
	}
	d.literals = d.literals[copy(part, d.literals):]
	return nil
}

// uvarint reads a number of at most limit.
func (d *decoder) uvarint(limit int64) (int64, error) {
	x, err := binary.ReadUvarint(d.in)
	if err != nil {
		return 0, cutOff(err)
	}
	if x > uint64(limit) {
		return 0, fmt.Errorf("%w: %d where at most %d can be", ErrCorrupt, x, limit)
	}
	return int64(x), nil
}

// bytes reads a length of at most limit and as many bytes. It believes the length
// only as the bytes come.
func (d *decoder) bytes(limit int64) ([]byte, error) {
	n, err := d.uvarint(limit)
	if err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	if m, err := io.CopyN(&buffer, d.in, n); m < n {
		return nil, cutOff(err)
	}
	return buffer.Bytes(), nil
}

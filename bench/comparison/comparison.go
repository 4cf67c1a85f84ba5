// Package comparison runs compressors beside each other, as processes of their
// own, and measures what they make of files: size, processor time and memory,
// in both directions. What comes back is compared with the file.
package comparison

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Result is what one program made of one file.
type Result struct {
	Program    string `json:"program"`
	File       string `json:"file"`
	Original   int64  `json:"original_bytes"`
	Compressed int64  `json:"compressed_bytes"`
	In         Cost   `json:"in"`
	Out        Cost   `json:"out"`
}

// Cost is what a process took.
type Cost struct {
	Wall time.Duration `json:"wall_ns"`
	// CPU is the processor time, of all threads.
	CPU time.Duration `json:"cpu_ns"`
	// Memory is the largest resident set, in bytes.
	Memory int64 `json:"memory_bytes"`
}

// Ratio is compressed/original.
func (r Result) Ratio() float64 { return float64(r.Compressed) / float64(r.Original) }

// Speed is bytes of the original a second of processor time: of one core.
func (r Result) Speed(c Cost) float64 { return float64(r.Original) / c.CPU.Seconds() }

// Run has a program compress a file, and decompress it again, in the folder
// dir. First is how many bytes of the file are taken; 0 is all.
func Run(ctx context.Context, p Program, file string, first int64, dir string) (Result, error) {
	r := Result{Program: p.Name, File: file}
	input, err := prefix(file, first, dir)
	if err != nil {
		return r, err
	}
	if r.Original, err = fileSize(input); err != nil {
		return r, err
	}
	if r.Original == 0 {
		return r, fmt.Errorf("%s is empty: there is nothing to compare", file)
	}
	packed, restored := filepath.Join(dir, "packed"+p.Suffix), filepath.Join(dir, "restored")
	for _, old := range []string{packed, restored} {
		if err := os.RemoveAll(old); err != nil {
			return r, err
		}
	}
	if r.In, err = p.run(ctx, p.Compress, input, packed); err != nil {
		return r, err
	}
	if r.Compressed, err = fileSize(packed); err != nil {
		return r, err
	}
	if r.Out, err = p.run(ctx, p.Decompress, packed, restored); err != nil {
		return r, err
	}
	if err := sameContent(input, restored); err != nil {
		return r, fmt.Errorf("%s: %w", p.Name, err)
	}
	return r, nil
}

// inputName is the copy of a file that programs read.
const inputName = "input"

// prefix copies the first bytes of a file into dir; 0 is all.
func prefix(file string, first int64, dir string) (name string, err error) {
	in, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer in.Close()
	name = filepath.Join(dir, inputName)
	out, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if first == 0 {
		_, err = io.Copy(out, in)
	} else if _, err = io.CopyN(out, in, first); errors.Is(err, io.EOF) {
		err = nil
	}
	return name, err
}

func fileSize(name string) (int64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// sameContent fails unless two files hold the same bytes.
func sameContent(a, b string) (err error) {
	var files [2]*os.File
	for i, name := range []string{a, b} {
		if files[i], err = os.Open(name); err != nil {
			return err
		}
		defer files[i].Close()
	}
	var buffers [2][]byte
	for i := range buffers {
		buffers[i] = make([]byte, 1<<20)
	}
	for {
		var n [2]int
		var end [2]error
		for i, f := range files {
			n[i], end[i] = io.ReadFull(f, buffers[i])
			if end[i] != nil && !errors.Is(end[i], io.EOF) && !errors.Is(end[i], io.ErrUnexpectedEOF) {
				return end[i]
			}
		}
		if string(buffers[0][:n[0]]) != string(buffers[1][:n[1]]) {
			return fmt.Errorf("what came back is not %s", a)
		}
		if end[0] != nil {
			return nil
		}
	}
}

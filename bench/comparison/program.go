package comparison

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Program compresses and decompresses files. Of its arguments, IN is the name
// of the file to read and OUT of the one to write, both in the folder that it
// runs in; without them it reads from its standard input, and writes to its
// standard output.
type Program struct {
	Name                 string
	Compress, Decompress []string
	Suffix               string // of compressed files' names, where the program wants one
}

// Peers are the general compressors that one compares with, at their strongest
// settings, as Debian has them. They run on one core.
func Peers() []Program {
	zpaqOut := []string{"zpaq", "extract", "IN", inputName, "-threads", "1", "-to", "OUT"}
	return []Program{
		{Name: "gzip -9", Compress: []string{"gzip", "-9"}, Decompress: []string{"gzip", "-d"}},
		{Name: "zstd -19", Compress: []string{"zstd", "-q", "-19", "--single-thread"}, Decompress: []string{"zstd", "-q", "-d"}},
		{Name: "zstd --ultra -22", Compress: []string{"zstd", "-q", "--ultra", "-22", "--single-thread"}, Decompress: []string{"zstd", "-q", "-d", "--memory=2GB"}},
		{Name: "xz -9e", Compress: []string{"xz", "-9e", "-T1"}, Decompress: []string{"xz", "-d"}},
		{Name: "brotli -q 11", Compress: []string{"brotli", "-q", "11", "-w", "24"}, Decompress: []string{"brotli", "-d"}},
		{Name: "zpaq -m5", Compress: []string{"zpaq", "add", "OUT", "IN", "-m5", "-threads", "1"}, Decompress: zpaqOut, Suffix: ".zpaq"},
	}
}

// MorphZip is the program entroos at a level, from 1 to 9.
func MorphZip(entroos string, level int) Program {
	flag := "-" + strconv.Itoa(level)
	return Program{
		Name:       "mz " + flag,
		Compress:   []string{entroos, "mz", "compress", flag, "-c"},
		Decompress: []string{entroos, "mz", "decompress", "-c"},
	}
}

// Find says whether the program is to be had.
func (p Program) Find() error {
	_, err := exec.LookPath(p.Compress[0])
	return err
}

// run runs one direction.
func (p Program) run(ctx context.Context, arguments []string, in, out string) (cost Cost, err error) {
	arguments = append([]string(nil), arguments...)
	named := false
	for i, a := range arguments {
		switch a {
		case "IN":
			arguments[i], named = filepath.Base(in), true
		case "OUT":
			arguments[i] = filepath.Base(out)
		}
	}
	c := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	c.Dir = filepath.Dir(out)
	var said bytes.Buffer
	c.Stderr = &said
	if !named {
		input, err := os.Open(in)
		if err != nil {
			return cost, err
		}
		defer input.Close()
		output, err := os.Create(out)
		if err != nil {
			return cost, err
		}
		defer func() { err = errors.Join(err, output.Close()) }()
		c.Stdin, c.Stdout = input, output
	}
	begin := time.Now()
	if err := c.Run(); err != nil {
		return cost, fmt.Errorf("%s: %w: %s", strings.Join(arguments, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	cost = Cost{Wall: time.Since(begin), CPU: c.ProcessState.UserTime() + c.ProcessState.SystemTime()}
	if usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		cost.Memory = usage.Maxrss << 10
	}
	return cost, nil
}

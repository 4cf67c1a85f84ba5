package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/morphzip"
)

// mzStat is what `mz stat --json` prints of a file.
type mzStat struct {
	File     string  `json:"file"`
	Original uint64  `json:"original_bytes"`
	Stored   uint64  `json:"stored_bytes"`
	Ratio    float64 `json:"ratio"` // equation 55
	Version  int     `json:"version"`
	Blocks   int     `json:"blocks"`
	Largest  uint64  `json:"largest_block_bytes"`
	// Methods counts the blocks by how they are coded.
	Methods map[string]int `json:"methods"`
	// Runs are the bytes in long runs of one byte.
	Runs uint64 `json:"run_bytes"`
	// Index are the stored bytes that are not blocks.
	Index uint64 `json:"index_bytes"`
	// Density is that of the coded blocks of 4 KiB and more; null without one.
	Density *float64 `json:"density"` // equation 62
	// Damage is why the file is not whole, "" if it is.
	Damage string `json:"damage"`

	list []mzBlock
}

// mzBlock is a block's line of `mz stat --blocks`.
type mzBlock struct {
	offset, size uint64
	stored       int64
	method       string
	density      float64
}

func newMzStatCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "stat FILE...", Short: "Tell what is in compressed files",
		Long: "Tells how large compressed files are and their content is, the ratio (stored by original bytes), how their\n" +
			"blocks are coded, and how dense the coded bytes are (1: nothing is left to compress). Each block's stored bytes\n" +
			"are compared with their checksum, and not decompressed (`mz decompress -t` does that).",
		Args: cobra.ArbitraryArgs,
	}
	asJSON := jsonFlag(c)
	blocks := c.Flags().Bool("blocks", false, "list the blocks")
	c.RunE = func(c *cobra.Command, names []string) error {
		if len(names) == 0 {
			return errors.New("stat needs a FILE")
		}
		stats := []*mzStat{}
		failed := env.mzFiles(names, func(name string) error {
			s, err := env.mzStat(c.Context(), name)
			if s != nil {
				stats = append(stats, s)
			}
			return err
		})
		if cancelled(failed) {
			return failed
		}
		var err error
		switch {
		case *asJSON:
			err = env.printJSON(stats)
		case *blocks:
			err = env.printBlocks(stats)
		case len(stats) > 0:
			err = env.printStats(stats)
		}
		return errors.Join(err, failed)
	}
	return c
}

// mzStat reads a file. With an error there may be a mzStat of what is intact.
func (env *environment) mzStat(ctx context.Context, name string) (*mzStat, error) {
	in, err := env.openMz(ctx, name)
	if err != nil {
		return nil, err
	}
	defer in.done()
	f, damage := in.open()
	if f == nil {
		return nil, damage
	}
	s := &mzStat{File: name, Original: f.Size(), Stored: uint64(in.size()), Version: morphzip.Version, Blocks: len(f.Blocks()), Methods: map[string]int{}}
	s.Ratio = equations.CompressionRatio(s.Stored, s.Original)
	s.Index = s.Stored
	var dense, weight float64
	for i, b := range f.Blocks() {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.Index -= uint64(b.Length)
		s.Largest = max(s.Largest, b.Size)
		frame, err := f.Frame(i)
		if err != nil {
			damage = errors.Join(damage, err)
			continue
		}
		method := frame.Method.String()
		if frame.Rest == 0 {
			method = "run"
		}
		s.Methods[method]++
		s.Runs += b.Size - uint64(frame.Rest)
		var payload equations.Histogram
		payload.Add(frame.Payload)
		d := equations.OutputDensity(&payload)
		if n := float64(len(frame.Payload)); n >= 4<<10 {
			dense += float64(d * n)
			weight += n
		}
		s.list = append(s.list, mzBlock{b.Offset, b.Size, b.Length, method, d})
	}
	if weight > 0 {
		dense /= weight
		s.Density = &dense
	}
	if damage != nil {
		s.Damage = damage.Error()
	}
	return s, damage
}

func (env *environment) printStats(stats []*mzStat) error {
	t := newTable("ORIGINAL", "STORED", "RATIO", "BLOCKS", "DENSITY", "METHODS", "FILE")
	for _, s := range stats {
		density := "-"
		if s.Density != nil {
			density = fmt.Sprintf("%.4f", *s.Density)
		}
		var methods []string
		for _, name := range slices.Sorted(maps.Keys(s.Methods)) {
			methods = append(methods, fmt.Sprintf("%s %d", name, s.Methods[name]))
		}
		t.row(units.HumanSizeWithPrecision(float64(s.Original), 4), units.HumanSizeWithPrecision(float64(s.Stored), 4),
			fmt.Sprintf("%.4f", s.Ratio), fmt.Sprint(s.Blocks), density, dash(strings.Join(methods, ", ")), s.File)
	}
	return env.printTable(t)
}

func (env *environment) printBlocks(stats []*mzStat) error {
	t := newTable("OFFSET", "SIZE", "STORED", "DENSITY", "METHOD", "FILE")
	for _, s := range stats {
		for _, b := range s.list {
			t.row(fmt.Sprint(b.offset), fmt.Sprint(b.size), fmt.Sprint(b.stored), fmt.Sprintf("%.4f", b.density), b.method, s.File)
		}
	}
	return env.printTable(t)
}

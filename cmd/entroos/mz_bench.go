//go:build !box

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/entroos/entroos/bench/comparison"
)

// benchJSON is what `mz bench --json` prints.
type benchJSON struct {
	Results   []comparison.Result  `json:"results"`
	Summaries []comparison.Summary `json:"summaries"`
	Missing   []string             `json:"missing_peers"`
}

func newMzBenchCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "bench FILE|FOLDER...",
		Short: "Compare Morph Zip with other compressors on your own files",
		Long: "Compress each file on its own with Morph Zip and with the other compressors that are to be had (gzip, zstd, xz,\n" +
			"brotli, zpaq), at their strongest settings, one after the other on one core; decompress it again, and compare.\n" +
			"Ratio is compressed bytes by original bytes; speeds are original bytes a second of processor time, of a core;\n" +
			"memory is the largest resident set.",
		Args: cobra.MinimumNArgs(1),
	}
	levels := c.Flags().IntSlice("levels", []int{3, 7, 9}, "levels of Morph Zip")
	peers := c.Flags().StringSlice("peers", nil, "other compressors, by the names of their programs, such as zstd,xz; all when empty, and none for none")
	first := c.Flags().String("first", "", "take the first so many bytes of each file alone, such as 16MB; all when empty")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var bytes int64
		if *first != "" {
			var err error
			if bytes, err = units.RAMInBytes(*first); err != nil || bytes <= 0 {
				return usageError(fmt.Errorf("--first %q is not a size, such as 16MB", *first))
			}
		}
		programs, missing, err := benchPrograms(*levels, *peers)
		if err != nil {
			return err
		}
		files, err := benchFiles(args)
		if err != nil {
			return err
		}
		return env.mzBench(c.Context(), programs, missing, files, bytes, *asJSON)
	}
	return c
}

// benchPrograms are Morph Zip at these levels, and the peers that are to be
// had; missing are the names of the others.
func benchPrograms(levels []int, peers []string) (programs []comparison.Program, missing []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	for _, l := range levels {
		if l < 1 || l > 9 {
			return nil, nil, usageError(fmt.Errorf("--levels: %d is none of 1 to 9", l))
		}
		programs = append(programs, comparison.MorphZip(self, l))
	}
	known := map[string]bool{"none": true}
	for _, p := range comparison.Peers() {
		known[p.Compress[0]] = true
		switch wanted := len(peers) == 0 || slices.Contains(peers, p.Compress[0]); {
		case !wanted:
		case p.Find() == nil:
			programs = append(programs, p)
		default:
			missing = append(missing, p.Name)
		}
	}
	for _, name := range peers {
		if !known[name] {
			return nil, nil, usageError(fmt.Errorf("--peers: %q is none of %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
		}
	}
	return programs, missing, nil
}

// benchFiles are the files named, and those below the folders named.
func benchFiles(args []string) (files []string, err error) {
	for _, arg := range args {
		err := filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !d.IsDir() {
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, errors.New("there is no file to compress")
	}
	return files, nil
}

// mzBench runs every program on every file, and prints the results as they
// come.
func (env *environment) mzBench(ctx context.Context, programs []comparison.Program, missing, files []string, first int64, asJSON bool) (err error) {
	dir, err := os.MkdirTemp("", "entroos-bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var results []comparison.Result
	for _, file := range files {
		for _, p := range programs {
			begin := time.Now()
			r, err := comparison.Run(ctx, p, file, first, dir)
			if err != nil {
				return err
			}
			results = append(results, r)
			fmt.Fprintf(env.stderr, "%s  %s: %d bytes of %d, %s\n", p.Name, filepath.Base(file), r.Compressed, r.Original, time.Since(begin).Round(time.Millisecond))
		}
	}
	summaries := comparison.Summarise(results)
	if asJSON {
		return env.printJSON(benchJSON{results, summaries, missing})
	}
	if err := env.printTable(benchTable(results)); err != nil {
		return err
	}
	if len(files) > 1 {
		fmt.Fprintln(env.stdout)
		if err := env.printTable(summaryTable(summaries)); err != nil {
			return err
		}
	}
	for _, name := range missing {
		fmt.Fprintf(env.stderr, "%s is not installed, and left out\n", name)
	}
	return nil
}

func benchTable(results []comparison.Result) *table {
	t := newTable("FILE", "PROGRAM", "RATIO", "BYTES", "IN MB/S", "OUT MB/S", "MEMORY IN", "OUT")
	for _, r := range results {
		t.row(filepath.Base(r.File), r.Program, fmt.Sprintf("%.5f", r.Ratio()), fmt.Sprint(r.Compressed),
			megabytes(r.Speed(r.In)), megabytes(r.Speed(r.Out)), units.BytesSize(float64(r.In.Memory)), units.BytesSize(float64(r.Out.Memory)))
	}
	return t
}

func summaryTable(summaries []comparison.Summary) *table {
	t := newTable("PROGRAM", "FILES", "RATIO OF ALL", "GEOMETRIC MEAN", "IN MB/S", "OUT MB/S", "MEMORY")
	for _, s := range summaries {
		t.row(s.Program, fmt.Sprint(s.Files), fmt.Sprintf("%.5f", s.Ratio), fmt.Sprintf("%.5f", s.GeometricMean),
			megabytes(s.In), megabytes(s.Out), units.BytesSize(float64(s.Memory)))
	}
	return t
}

func megabytes(perSecond float64) string { return fmt.Sprintf("%.2f", perSecond/1e6) }

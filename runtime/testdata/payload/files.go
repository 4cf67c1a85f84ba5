package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// fill writes to a file until the disk is full, and says how many MiB it took.
func fill(args []string) {
	f, err := os.Create(args[0])
	check(err)
	piece := make([]byte, 1<<20)
	for i := range piece {
		piece[i] = byte(i)
	}
	for n := 0; ; n++ {
		_, err := f.Write(piece)
		if err == nil && n%16 == 0 {
			err = f.Sync() // what is only in memory takes no space yet
		}
		if errors.Is(err, unix.ENOSPC) {
			fmt.Println("full after", n)
			return
		}
		check(err)
	}
}

// nest makes so many folders in each other, and one file in the last.
func nest(args []string) {
	check(os.Chdir(args[0]))
	for range number(args[1]) {
		check(os.Mkdir("d", 0o755))
		check(os.Chdir("d"))
	}
	check(os.WriteFile("file", []byte("deep"), 0o644))
	fmt.Println("nested")
}

func list(args []string) {
	entries, err := os.ReadDir(args[0])
	check(err)
	for _, e := range entries {
		fmt.Println(e.Name())
	}
}

func remove(args []string) {
	for _, name := range args {
		check(os.RemoveAll(name))
	}
}

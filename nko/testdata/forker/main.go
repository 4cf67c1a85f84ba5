// Command forker leaves processes behind, as tests of the reaper need them.
//
//	forker sleep           sleeps until killed
//	forker orphan STATUS   starts a process that exits with that status once
//	                       this one has ended, and prints its id
//	forker stray           starts a process in a session of its own that sleeps,
//	                       prints its id, and sleeps too
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

func main() {
	switch os.Args[1] {
	case "sleep":
	case "orphan":
		fmt.Println(start("exit", os.Args[2]))
		return
	case "exit":
		for os.Getppid() != 1 {
			time.Sleep(time.Millisecond)
		}
		status, err := strconv.Atoi(os.Args[2])
		if err != nil {
			status = 99
		}
		os.Exit(status)
	case "stray":
		fmt.Println(start("sleep"))
	}
	for {
		time.Sleep(time.Hour)
	}
}

func start(args ...string) int {
	cmd := exec.Command(os.Args[0], args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(98)
	}
	return cmd.Process.Pid
}

// Payload is what the tests run in containers: one static program with many
// behaviours.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: payload COMMAND [ARGUMENT...]")
	}
	args := os.Args[2:]
	command, ok := map[string]func([]string){
		"hello": hello, "exit": exit, "status": status, "cat": cat, "write": write, "stat": stat, "eat": eat,
		"wait": wait, "ignore": ignore, "serve": serve, "dial": dial, "ids": ids, "spin": spin, "flood": flood,
		"env": env, "tty": tty, "copy": copyInput, "ticks": ticks, "listen": listenOnly, "reopen": reopen, "serve-udp": serveUDP,
		"bomb": bomb, "look": look, "resolve": resolve, "fill": fill, "nest": nest, "list": list, "delete": remove,
	}[os.Args[1]]
	if !ok {
		fail("no such command: %s", os.Args[1])
	}
	command(args)
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(125)
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	check(err)
	return n
}

func hello([]string) {
	fmt.Println("hello from stdout")
	fmt.Fprintln(os.Stderr, "hello from stderr")
}

func exit(args []string) { os.Exit(number(args[0])) }

// status prints what the kernel says of this process.
func status([]string) {
	for _, name := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		raw, err := os.ReadFile(name)
		check(err)
		fmt.Printf("%s: %s\n", name, strings.Join(strings.Fields(string(raw)), " "))
	}
	raw, err := os.ReadFile("/proc/self/status")
	check(err)
	fmt.Print(string(raw))
	hostname, err := os.Hostname()
	check(err)
	fmt.Println("hostname:", hostname, "pid:", os.Getpid())
}

func cat(args []string) {
	for _, name := range args {
		raw, err := os.ReadFile(name)
		check(err)
		_, err = os.Stdout.Write(raw)
		check(err)
	}
}

func write(args []string) { check(os.WriteFile(args[0], []byte(args[1]+"\n"), 0o644)) }

func stat(args []string) {
	for _, name := range args {
		var s unix.Stat_t
		check(unix.Lstat(name, &s))
		fmt.Printf("%s %d:%d %o\n", name, s.Uid, s.Gid, s.Mode)
	}
}

// eat holds that many MiB of memory, and says so.
func eat(args []string) {
	debug.SetGCPercent(-1)
	var held [][]byte
	for range number(args[0]) {
		piece := make([]byte, 1<<20)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		held = append(held, piece)
	}
	fmt.Println("ate", len(held))
}

// wait ends with 7 when it is asked to.
func wait([]string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("waiting")
	<-c
	fmt.Println("asked to end")
	os.Exit(7)
}

func ignore([]string) {
	signal.Ignore(syscall.SIGTERM)
	fmt.Println("ignoring")
	time.Sleep(time.Hour)
}

// serve answers each caller with a text and the caller's address.
func serve(args []string) {
	l, err := net.Listen("tcp4", args[0])
	check(err)
	fmt.Println("serving")
	for {
		c, err := l.Accept()
		check(err)
		fmt.Fprintf(c, "%s %s\n", args[1], c.RemoteAddr())
		c.Close()
	}
}

// serveUDP answers each datagram with a text and the datagram.
func serveUDP(args []string) {
	c, err := net.ListenPacket("udp4", args[0])
	check(err)
	fmt.Println("serving")
	buffer := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buffer)
		check(err)
		_, err = c.WriteTo(append([]byte(args[1]+" "), buffer[:n]...), from)
		check(err)
	}
}

func listenOnly(args []string) {
	l, err := net.Listen("tcp4", args[0])
	check(err)
	l.Close()
	fmt.Println("listened")
}

func dial(args []string) {
	patience := 20
	if len(args) > 1 {
		patience = number(args[1])
	}
	c, err := net.DialTimeout("tcp", args[0], time.Duration(patience)*time.Second)
	check(err)
	_, err = io.Copy(os.Stdout, c)
	check(err)
}

func ids([]string) {
	groups, err := os.Getgroups()
	check(err)
	fmt.Println(os.Getuid(), os.Getgid(), groups)
}

// spin uses that many milliseconds of CPU, and writes a MiB to the disk.
func spin(args []string) {
	// What the process used before it became this program is runc's.
	used := func() time.Duration {
		var r unix.Rusage
		check(unix.Getrusage(unix.RUSAGE_SELF, &r))
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	for end := used() + time.Duration(number(args[0]))*time.Millisecond; used() < end; {
		for range 100_000 {
		}
	}
	f, err := os.Create("/spin")
	check(err)
	_, err = f.Write(make([]byte, 1<<20))
	check(err)
	check(f.Sync())
}

// flood writes that many bytes, in lines of 64.
func flood(args []string) {
	w := bufio.NewWriterSize(os.Stdout, 64<<10)
	for n := number(args[0]); n > 0; n -= 64 {
		fmt.Fprintf(w, "%063d\n", n)
	}
	check(w.Flush())
}

func env([]string) {
	cwd, err := os.Getwd()
	check(err)
	fmt.Println("cwd:", cwd)
	fmt.Println(strings.Join(os.Environ(), "\n"))
}

func tty([]string) {
	size, err := unix.IoctlGetWinsize(1, unix.TIOCGWINSZ)
	check(err)
	fmt.Println("terminal", size.Row, size.Col)
	if line, err := bufio.NewReader(os.Stdin).ReadString('\n'); err == nil {
		fmt.Print("read ", line)
	}
}

func copyInput([]string) {
	_, err := io.Copy(os.Stdout, os.Stdin)
	check(err)
}

// ticks prints a line every 100 ms until it is killed.
func ticks([]string) {
	for i := 0; ; i++ {
		fmt.Println("tick", i)
		time.Sleep(100 * time.Millisecond)
	}
}

// reopen writes to its standard output by the name that programs know.
func reopen([]string) { check(os.WriteFile("/dev/stdout", []byte("reopened\n"), 0)) }

// bomb forks, as do its children and theirs, for ever. Children of a Go
// program cannot do more than system calls.
func bomb([]string) {
	fmt.Println("forking")
	pause := unix.Timespec{Nsec: 20_000_000}
	for {
		if _, _, errno := unix.RawSyscall(unix.SYS_FORK, 0, 0, 0); errno != 0 {
			unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0)
		}
	}
}

// look prints what of each path there is to see, and whether its mount is
// read-only.
func look(args []string) {
	for _, name := range args {
		info, err := os.Stat(name)
		if err != nil {
			fmt.Println(name, "absent", err)
			continue
		}
		n := 0
		if info.IsDir() {
			entries, err := os.ReadDir(name)
			check(err)
			n = len(entries)
		} else if f, err := os.Open(name); err == nil {
			n, err = f.Read(make([]byte, 100))
			if err != nil && err != io.EOF {
				fmt.Println(name, "unreadable", err)
				continue
			}
		} else {
			fmt.Println(name, "unreadable", err)
			continue
		}
		state := "full"
		if n == 0 {
			state = "empty"
		}
		var fs unix.Statfs_t
		check(unix.Statfs(name, &fs))
		if fs.Flags&unix.ST_RDONLY != 0 {
			state += " read-only"
		}
		fmt.Println(name, state)
	}
}

func resolve(args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, args[0])
	check(err)
	fmt.Println(strings.Join(addresses, " "))
}

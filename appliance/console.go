package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/nko"
)

// homePath is below which services have their homes.
const homePath = PermPath + "/home"

// virtioConsole is the name of the virtio-serial port on which a virtual
// machine's owner administers it.
const virtioConsole = "org.entroos.console.0"

// consoleProgram is the admin console.
const consoleProgram = "/bin/entroos"

// ttyConsole begins the names of the consoles' services.
const ttyConsole = "console-"

// consolePatience is how long the consoles wait for the box's first verdict on
// its health, so that it stands above their first prompt.
const consolePatience = 10 * time.Second

// StartConsoles starts the admin console on the serial port, on the screen and
// on the virtio port, where the box has them. Before other services, so that
// they are stopped after them: who typed `poweroff` sees how it goes.
func (b *Box) StartConsoles() error {
	var failed []error
	supervisor := b.Supervisor
	patience := time.Now().Add(consolePatience)
	for _, c := range []struct{ tty, term string }{{"ttyS0", "vt220"}, {"tty1", "linux"}} {
		if !ttyPresent(c.tty) {
			continue
		}
		_, err := supervisor.Add(nko.ServiceSpec{
			Name: ttyConsole + c.tty,
			Process: &nko.ProcessSpec{
				Path: consoleProgram, Args: []string{"console", "--login"}, Env: []string{"TERM=" + c.term},
				Home: homePath,
				Terminal: func(ctx context.Context) (*nko.Terminal, error) {
					if err := b.awaitVerdict(ctx, patience); err != nil {
						return nil, err
					}
					return openTTY("/dev/" + c.tty)
				},
			},
			Expected: true, // its user leaves
			Grace:    2 * time.Second,
		})
		failed = append(failed, err)
	}
	port, err := virtioPort(virtioConsole)
	failed = append(failed, err)
	if port != "" {
		_, err := supervisor.Add(nko.ServiceSpec{
			Name: ttyConsole + "virtio",
			Process: &nko.ProcessSpec{
				Path: consoleProgram, Args: []string{"console", "--json-lines"},
				Home: homePath,
				Terminal: func(ctx context.Context) (*nko.Terminal, error) {
					if err := b.awaitVerdict(ctx, patience); err != nil {
						return nil, err
					}
					return openVirtioPort(ctx, port)
				},
			},
			Expected: true, // the other end hangs up
			Grace:    2 * time.Second,
		})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// awaitVerdict waits until the box has been judged, at most until then.
func (b *Box) awaitVerdict(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-b.Judged():
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// ttyPresent says whether there is hardware behind a terminal device: the 8250
// driver makes devices for ports that do not exist.
func ttyPresent(name string) bool {
	if _, err := os.Stat("/dev/" + name); err != nil {
		return false
	}
	kind, err := readInt("/sys/class/tty/" + name + "/type")
	return err != nil || kind != 0 // PORT_UNKNOWN
}

func openTTY(device string) (*nko.Terminal, error) {
	f, err := os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return &nko.Terminal{File: f, Controlling: true}, nil
}

// virtioPort gives the device of the virtio-serial port of that name, or "".
func virtioPort(name string) (string, error) {
	files, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("virtio port: %w", err)
		}
		if strings.TrimSpace(string(text)) == name {
			return "/dev/" + filepath.Base(filepath.Dir(file)), nil
		}
	}
	return "", nil
}

// openVirtioPort opens the port when somebody is at its other end. The kernel
// offers nothing to wait for that: a port without a peer hangs up at once.
func openVirtioPort(ctx context.Context, device string) (*nko.Terminal, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	// O_NONBLOCK would be seen by the child, and make Go hand the file to its
	// poller: open it plainly.
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", device, err)
	}
	f := os.NewFile(uintptr(fd), device)
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if _, err := unix.Poll(fds, 0); err != nil && !errors.Is(err, unix.EINTR) {
			_ = f.Close() // nothing was written
			return nil, fmt.Errorf("poll %s: %w", device, err)
		}
		if fds[0].Revents&unix.POLLHUP == 0 {
			return &nko.Terminal{File: f, Output: true}, nil
		}
		select {
		case <-ctx.Done():
			_ = f.Close() // nothing was written
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// Announce writes a line to every active console, in place of the prompt that
// may stand there, and has the consoles write it again below.
func (b *Box) Announce(format string, args ...any) {
	Announce(format, args...)
	for _, s := range b.Supervisor.Services() {
		if strings.HasPrefix(s.String(), ttyConsole) {
			// One without a process has nothing to write.
			_ = s.Signal(unix.SIGWINCH)
		}
	}
}

// Announce writes a line to every active console.
func Announce(format string, args ...any) {
	line := "\r\x1b[K" + fmt.Sprintf(format, args...) + "\r\n"
	for _, device := range activeConsoles() {
		f, err := os.OpenFile(device, os.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
		if err != nil {
			continue // a console that is not there hears nothing
		}
		// A serial line with nobody at its end must not hold up the boot.
		_ = f.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = f.WriteString(line)
		_ = f.Close()
	}
}

func activeConsoles() []string {
	text, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil || strings.TrimSpace(string(text)) == "" {
		return []string{"/dev/console"}
	}
	var devices []string
	for name := range strings.FieldsSeq(string(text)) {
		if name == "tty0" { // the screen on which the kernel writes
			name = "tty1"
		}
		devices = append(devices, "/dev/"+name)
	}
	return devices
}
